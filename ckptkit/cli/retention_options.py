"""The rules of retention that more than one command takes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import typer

from ckptkit.errors import UsageError

_RULE = re.compile(r"\b(?:keep_[a-z]+|max_size)\b")

KeepLast = Annotated[str | None, typer.Option("--keep-last", metavar="N|all", help="The newest N.")]
KeepEvery = Annotated[str | None, typer.Option("--keep-every", metavar="STEPS", help="One every so many steps.")]
KeepBest = Annotated[str | None, typer.Option("--keep-best", metavar="N", help="The best N by --metric.")]
Metric = Annotated[str | None, typer.Option("--metric", help="For --keep-best.")]
Mode = Annotated[Literal["min", "max"] | None, typer.Option("--mode", help="For --keep-best: which is better.")]


@contextmanager
def as_typed() -> Iterator[None]:
    """Name rules in errors as they were typed: ``--keep-last``, not ``keep_last``."""
    try:
        yield
    except UsageError as error:
        message, hint = (_RULE.sub(_option, text) for text in (error.message, error.hint))
        raise UsageError(message, hint=hint) from error


def _option(rule: re.Match[str]) -> str:
    return f"--{rule[0].replace('_', '-')}"
