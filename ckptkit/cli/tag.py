"""`ckptkit tag`: give a checkpoint a tag that retention and listings know."""

from typing import Annotated

import typer

from ckptkit.cli import output
from ckptkit.cli.pin import RefArgument
from ckptkit.cli.session import MetricOption, ModeOption, NoCacheOption, StoreOption, session_of


def tag(
    context: typer.Context,
    ref: RefArgument,
    word: Annotated[str, typer.Argument(metavar="TAG", help="A short word, for example release-1.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take the tag away.")] = False,
    metric: MetricOption = None,
    mode: ModeOption = None,
    store: StoreOption = None,
    no_cache: NoCacheOption = False,
) -> None:
    """Give a checkpoint a tag, or take it away.

    Retention and listings know tags: see --keep-tag of `ckptkit prune` and --tag of `ckptkit list`.

    Examples:
        ckptkit tag ppo/run1@5000 release-1
        ckptkit tag ppo/run1@5000 release-1 --remove

    Exit codes:
        0: It has the tag, or has it no more.
        4: There is no such checkpoint.
    """
    session = session_of(context)
    at = session.open(store).tag(ref, word, remove=remove, ranking=session.ranking(ref, metric, mode))
    output.echo(f"{'untagged' if remove else 'tagged'} {at.ref} {output.safe(word)}", quiet=session.quiet)
