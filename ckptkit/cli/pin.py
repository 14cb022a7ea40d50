"""`ckptkit pin` and `ckptkit unpin`: keep a checkpoint whatever retention says."""

from typing import Annotated

import typer

from ckptkit.cli import output
from ckptkit.cli.session import MetricOption, ModeOption, NoCacheOption, StoreOption, session_of

RefArgument = Annotated[str, typer.Argument(help="RUN@STEP; RUN means its newest step.")]


def pin(
    context: typer.Context,
    ref: RefArgument,
    metric: MetricOption = None,
    mode: ModeOption = None,
    store: StoreOption = None,
    no_cache: NoCacheOption = False,
) -> None:
    """Keep a checkpoint whatever retention says.

    Examples:
        ckptkit pin ppo/run1@5000

    Exit codes:
        0: It is pinned.
        4: There is no such checkpoint.
    """
    session = session_of(context)
    at = session.open(store).pin(ref, ranking=session.ranking(ref, metric, mode))
    output.echo(f"pinned {at.ref}", quiet=session.quiet)


def unpin(
    context: typer.Context,
    ref: RefArgument,
    metric: MetricOption = None,
    mode: ModeOption = None,
    store: StoreOption = None,
    no_cache: NoCacheOption = False,
) -> None:
    """Let retention decide about a checkpoint again.

    Examples:
        ckptkit unpin ppo/run1@5000

    Exit codes:
        0: It is not pinned.
        4: There is no such checkpoint.
    """
    session = session_of(context)
    at = session.open(store).pin(ref, pinned=False, ranking=session.ranking(ref, metric, mode))
    output.echo(f"unpinned {at.ref}", quiet=session.quiet)
