"""`ckptkit list`: what is there, read fast; content is judged by `verify` only."""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ckptkit.cli import list_trash, naming, output, unlisted
from ckptkit.cli.progress import progress_bar
from ckptkit.cli.session import NoCacheOption, StoreOption, session_of
from ckptkit.cli.since import parse_since
from ckptkit.errors import UsageError

if TYPE_CHECKING:
    from ckptkit.store import Listed, Listing, Ref

_SHORT = 15  # of a fingerprint: SHA256: and eight letters
COLUMNS = ("RUN", "STEP", "STATE", "CAPTURED, SHOWN", "SIZE", "CREATED", "ITEMS", "METRICS", "PINS, TAGS")


def list_checkpoints(
    context: typer.Context,
    refs: Annotated[
        list[str] | None,
        typer.Argument(metavar="REF", help="Only this run, or what else names some; a pattern in quotes: 'ppo/*'."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the last N.")] = None,
    tag: Annotated[str | None, typer.Option("--tag", help="Only those with this tag.")] = None,
    sort: Annotated[
        Literal["step", "created", "size"], typer.Option("--sort", help="Sort order; step means by run, then step.")
    ] = "step",
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="WHEN", help="Only those saved since then: 12h, 7d, 2w ago, or 2026-11-20."),
    ] = None,
    trash: Annotated[bool, typer.Option("--trash", help="What was removed and can be taken back.")] = False,
    format_: Annotated[
        Literal["table", "tsv", "json", "ndjson", "ref", "path"] | None,
        typer.Option("--format", help="How to print; a table on a terminal, else tsv.", show_default=False),
    ] = None,
    store: StoreOption = None,
    no_cache: NoCacheOption = False,
) -> int:
    """List checkpoints by run and step, and whether each is known to verify.

    Nothing is read but manifests, so that this takes no time; `ckptkit verify` judges content. With --trash, what was
    removed, until when it is kept, and the command that takes it back.

    Examples:
        ckptkit list
        ckptkit list ppo/run1 --limit 3
        ckptkit list 'ppo/*' --since 7d
        ckptkit list --trash

    Exit codes:
        0: They are listed; there may be none.
        1: They are listed, but the pins and tags of a run are damaged.
        4: There is no such run or checkpoint.
    """
    session = session_of(context)
    moment = None if since is None else parse_since(since)
    named = naming.named(session, refs or (), store, removed=trash)
    format_chosen = output.chosen(format_)
    if trash:
        if tag is not None or sort != "step":
            raise UsageError("--trash goes with neither --tag nor --sort", hint="the last removed comes first")
        list_trash.list_removed(session, named, store, since=moment, limit=limit, format_=format_chosen)
        return 0
    opened = session.reader(named.url)
    with progress_bar(quiet=session.quiet) as show:
        listing = opened.list(named.refs or None, tag=tag, limit=limit, sort=sort, since=moment, on_progress=show)
        found = list(listing)
    empty = _without_any(listing, named.refs)
    if not found and not empty:
        output.echo("no checkpoints", quiet=session.quiet)
    for run in empty:
        from ckptkit.store import nearest_run

        output.echo(f"no checkpoints of {output.safe(run)}", quiet=session.quiet)
        output.echo(f"  {nearest_run.hint(opened.storage, run)}", quiet=session.quiet)
    if format_chosen in ("ref", "path"):
        for one in found:
            plain = format_chosen == "ref" and one.at.step is not None
            output.line(output.safe(one.at.ref if plain else one.at.where))
    else:
        _write(found, format_chosen, quiet=session.quiet)
    runs = [ref.run for ref in named.refs if ref.whole]
    for run_or_all in runs if named.refs else (None,):
        unlisted.tell(opened, run_or_all, quiet=session.quiet)
    for problem in listing.refs_problems:
        output.echo(f"pins and tags are not known: {output.safe(problem)}")
    return 1 if listing.refs_problems else 4 if empty else 0


def _without_any(listing: "Listing", refs: "Sequence[Ref]") -> list[str]:
    """Return the runs that were asked for and have no checkpoints."""
    there = set(listing.runs) if refs else ()
    return [ref.run for ref in refs if ref.run not in there]


def _write(found: "list[Listed]", format_: str, *, quiet: bool) -> None:
    exact = format_ != "table"
    shared = any(one.summary is not None and one.summary.shares for one in found)
    signed = any(one.signed_by for one in found)
    more = [*([("OWN SIZE", _own)] if shared else []), *([("SIGNED BY", _signed)] if signed else [])]
    records: Iterator[tuple[list[object], dict[str, Any]]] = (
        (([], _fields(one)) for one in found)
        if format_ in ("json", "ndjson")
        else (([*_cells(one, exact=exact), *(cell(one, exact=exact) for _, cell in more)], {}) for one in found)
    )
    output.rows(
        format_,
        "checkpoints",
        (*COLUMNS, *(name for name, _ in more)),
        records,
        # the state stays, however narrow
        spare=("ITEMS", "CREATED", "METRICS", "SIZE", "PINS, TAGS", "CAPTURED, SHOWN", "OWN SIZE", "SIGNED BY"),
        names=("RUN",),
        quiet=quiet,
    )


def _fields(one: "Listed") -> dict[str, Any]:
    fields: dict[str, Any] = {
        "ref": one.at.ref,
        "run": one.at.run,
        "step": one.at.step,
        "state": one.state,
        **_content(one),
        "problem": one.problem,
        "pinned": one.pinned if one.refs_problem is None else None,
        "tags": list(one.tags),
        "path": one.at.where,
    }
    summary = one.summary
    if summary is not None:
        fields |= {
            "sequence": summary.sequence,
            "captured": summary.grade,
            "signed_by": list(one.signed_by),
            "shown": None if one.shown is None else one.shown.fields(),
            "size": summary.size,
            "own_size": one.own_size,
            "created_at": summary.created_at,
            "items": summary.items,
            "metrics": {name: _number(value) for name, value in summary.metrics.items()},
            "counters": summary.counters,
        }
    return fields


def _own(one: "Listed", *, exact: bool) -> object:
    return "" if one.own_size is None else one.own_size if exact else output.size(one.own_size)


def _signed(one: "Listed", *, exact: bool) -> object:
    return ",".join(key if exact else key[:_SHORT] for key in one.signed_by)


def _cells(one: "Listed", *, exact: bool) -> list[object]:
    summary = one.summary
    refs = "unknown" if one.refs_problem is not None else ",".join([*(["pinned"] if one.pinned else []), *one.tags])
    step = "?" if one.at.step is None else one.at.step
    cells: list[object] = [one.at.run, step, _words(one, exact=exact), "", "", "", "", "", refs]
    if summary is not None:
        metrics = {name: _number(value) for name, value in summary.metrics.items()}
        cells[3:8] = [
            f"{summary.grade}, {one.shown.words if one.shown else 'nothing'}",
            summary.size if exact else output.size(summary.size),
            summary.created_at if exact else summary.created_at[:16].replace("T", " "),
            ",".join(summary.items),
            ",".join([f"{name}={value if exact else _short(value)}" for name, value in metrics.items()]),
        ]
    return cells


def _content(one: "Listed") -> dict[str, Any]:
    """Return what the last verification found, and when and how far it looked, if no file was changed since."""
    known = one.known
    if known is None or one.content == "unverified":
        return {"content": "unverified", "verified_at": None, "verified_level": None}
    return {"content": one.content, "verified_at": output.moment(known.when), "verified_level": known.level}


def _words(one: "Listed", *, exact: bool) -> str:
    """Return the state for a person: ``verified 2h ago``; with the moment itself where the output is exact."""
    if one.problem is not None:
        return one.state
    said = _content(one)
    if said["content"] != "verified" or one.known is None:
        return str(said["content"])
    return f"verified {said['verified_at'] if exact else _ago(time.time() - one.known.when)}"


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit} ago"
    return f"{max(0, int(seconds))}s ago"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _number(value: Any) -> Any:
    return value["$number"] if isinstance(value, dict) and "$number" in value else value
