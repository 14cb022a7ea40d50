"""`ckptkit pin` and `ckptkit unpin`: keep a checkpoint whatever retention says."""

from typing import Annotated

import typer

from ckptkit.cli import output
from ckptkit.cli.session import MetricOption, ModeOption, StoreOption, session

RefArgument = Annotated[str, typer.Argument(help="RUN@STEP; RUN means its newest step.")]


def pin(
    context: typer.Context,
    ref: RefArgument,
    metric: MetricOption = None,
    mode: ModeOption = None,
    store: StoreOption = None,
) -> None:
    """Keep a checkpoint whatever retention says."""
    asked = session(context)
    at = asked.open(store).pin(ref, ranking=asked.ranking(ref, metric, mode))
    output.talk(f"pinned {at.ref}", quiet=asked.quiet)


def unpin(
    context: typer.Context,
    ref: RefArgument,
    metric: MetricOption = None,
    mode: ModeOption = None,
    store: StoreOption = None,
) -> None:
    """Let retention decide about a checkpoint again."""
    asked = session(context)
    at = asked.open(store).pin(ref, pinned=False, ranking=asked.ranking(ref, metric, mode))
    output.talk(f"unpinned {at.ref}", quiet=asked.quiet)
