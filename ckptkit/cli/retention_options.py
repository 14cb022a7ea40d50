"""The rules of retention that more than one command takes."""

from typing import Annotated, Literal

import typer

KeepLast = Annotated[str | None, typer.Option("--keep-last", metavar="N|all", help="The newest N.")]
KeepEvery = Annotated[str | None, typer.Option("--keep-every", metavar="STEPS", help="One every so many steps.")]
KeepBest = Annotated[str | None, typer.Option("--keep-best", metavar="N", help="The best N by --metric.")]
Metric = Annotated[str | None, typer.Option("--metric", help="For --keep-best.")]
Mode = Annotated[Literal["min", "max"] | None, typer.Option("--mode", help="For --keep-best: which is better.")]
