"""`ckptkit tag`: give a checkpoint a tag that retention and listings know."""

from typing import Annotated

import typer

from ckptkit.cli import output
from ckptkit.cli.naming import RefsArgument
from ckptkit.cli.pin import checkpoints
from ckptkit.cli.session import MetricOption, ModeOption, NoCacheOption, StoreOption, session_of


def tag(
    context: typer.Context,
    refs: RefsArgument,
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
    opened, places = checkpoints(session, refs, store, metric, mode)
    for at in places:
        opened.tag(at, word, remove=remove)
        output.echo(f"{'untagged' if remove else 'tagged'} {at.ref} {output.safe(word)}", quiet=session.quiet)
