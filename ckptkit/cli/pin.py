"""`ckptkit pin` and `ckptkit unpin`: keep a checkpoint whatever retention says."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import typer

from ckptkit.cli import naming, output
from ckptkit.cli.naming import RefsArgument
from ckptkit.cli.session import MetricOption, ModeOption, NoCacheOption, StoreOption, session_of

if TYPE_CHECKING:
    from ckptkit.cli.session import Session
    from ckptkit.storage import Entry
    from ckptkit.store.keeper import StoreKeeper


def pin(
    context: typer.Context,
    refs: RefsArgument,
    metric: MetricOption = None,
    mode: ModeOption = None,
    store: StoreOption = None,
    no_cache: NoCacheOption = False,
) -> None:
    """Keep a checkpoint whatever retention says.

    Examples:
        ckptkit pin ppo/run1@5000
        ckptkit pin 'ppo/*@latest'

    Exit codes:
        0: It is pinned.
        4: There is no such checkpoint.
    """
    session = session_of(context)
    opened, places = checkpoints(session, refs, store, metric, mode)
    for at in places:
        output.echo(f"pinned {opened.pin(at).ref}", quiet=session.quiet)


def unpin(
    context: typer.Context,
    refs: RefsArgument,
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
    opened, places = checkpoints(session, refs, store, metric, mode)
    for at in places:
        output.echo(f"unpinned {opened.pin(at, pinned=False).ref}", quiet=session.quiet)


def checkpoints(
    session: "Session", words: Sequence[str], store: str | None, metric: str | None, mode: Literal["min", "max"] | None
) -> "tuple[StoreKeeper, list[Entry]]":
    """Return the one checkpoint that each reference means, in its store; raises before anything is changed."""
    named = naming.named(session, words, store)
    opened = session.keeper(named.url)
    places = [opened.locate(ref, ranking=session.ranking(str(ref), metric, mode))[-1] for ref in named.refs]
    return opened, list(dict.fromkeys(places))
