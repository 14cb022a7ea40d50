"""`ckptkit list --trash`: what was removed, until when it is kept, and what takes it back."""

import shlex
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ckptkit.cli import output
from ckptkit.cli.session import program_of

if TYPE_CHECKING:
    from ckptkit.cli.session import Session
    from ckptkit.storage import Removed
    from ckptkit.store.selecting import Selection

COLUMNS = ("CHECKPOINT", "SIZE", "REMOVED", "KEPT UNTIL", "TAKE IT BACK")


def list_removed(
    session: "Session",
    named: "Selection",
    store: str | None,
    *,
    since: datetime | None,
    limit: int | None,
    format_: str,
) -> None:
    """Print what is in the trash of a store: what was named, or all of it.

    Args:
        session: of the command.
        named: what a person asked for.
        store: the command's own ``--store``.
        since: only what was removed then or later.
        limit: only the last so many.
        format_: as of ``write``.
    """
    found = [one for one in session.reader(named.url).removed(named.refs) if since is None or one.removed_at >= since]
    program = program_of(session, store)
    write(found[:limit], format_, program=program, by_ref=named.url == session.url(store), quiet=session.quiet)
    if not found:
        output.echo("nothing is in the trash", quiet=session.quiet)


def write(found: "Sequence[Removed]", format_: str, *, program: str, by_ref: bool, quiet: bool) -> None:
    """Print what is in the trash.

    Args:
        found: that, the last removed first.
        format_: as of ``output.rows``; or ``ref`` or ``path``.
        program: what a person types to call this program on the store.
        by_ref: whether the program would find references in that store; paths it always finds.
        quiet: nothing on stderr.
    """
    if format_ in ("ref", "path"):
        for one in found:
            output.line(output.safe(one.where if format_ == "path" or one.step is None else f"{one.run}@{one.step}"))
        return
    records = _records(found, program, by_ref=by_ref, exact=format_ != "table")
    output.rows(format_, "removed", COLUMNS, records, spare=("REMOVED", "SIZE"), names=("CHECKPOINT",), quiet=quiet)
    if found:
        text = "what was kept that long is purged by the next `ckptkit prune --apply`, for good; --grace sets how long"
        output.echo(text, quiet=quiet)


def _records(
    found: "Sequence[Removed]", program: str, *, by_ref: bool, exact: bool
) -> Iterator[tuple[list[object], dict[str, Any]]]:
    from ckptkit.store.pruning import DEFAULT_GRACE

    seen: set[tuple[str, int]] = set()
    for one in found:
        until = one.removed_at + DEFAULT_GRACE
        back = ref = None
        if one.step is not None:
            ref = f"{one.run}@{one.step}"
            last = (one.run, one.step) not in seen  # of those of one step, the reference means the last removed
            seen.add((one.run, one.step))
            word = ref if by_ref and last else one.where
            back = f"{program} undelete {shlex.quote(word)}"
        fields = {
            "ref": ref,
            "run": one.run,
            "step": one.step,
            "size": one.size,
            "removed_at": _moment(one.removed_at, exact=True),
            "kept_until": _moment(until, exact=True),
            "path": one.where,
            "undelete": back,
        }
        due = "" if exact or until > datetime.now(UTC) else " (over)"
        cells: list[object] = [
            ref or f"{one.run}: nothing is left of it",
            "" if one.size is None else one.size if exact else output.size(one.size),
            _moment(one.removed_at, exact=exact),
            _moment(until, exact=exact) + due,
            back or "",
        ]
        yield cells, fields


def _moment(when: datetime, *, exact: bool) -> str:
    return output.moment(when.timestamp()) if exact else f"{when.astimezone(UTC):%Y-%m-%d %H:%M}"
