"""`ckptkit list`: what is there, read fast; content is judged by `verify` only."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ckptkit.cli import output, unlisted
from ckptkit.cli.session import FormatOption, NoCacheOption, StoreOption, session_of

if TYPE_CHECKING:
    from ckptkit.store import Listed

COLUMNS = ("RUN", "STEP", "STATE", "CAPTURED, SHOWN", "SIZE", "CREATED", "ITEMS", "METRICS", "PINS, TAGS")


def list_checkpoints(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="Only this run.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the last N.")] = None,
    tag: Annotated[str | None, typer.Option("--tag", help="Only those with this tag.")] = None,
    sort: Annotated[
        Literal["step", "created", "size"], typer.Option("--sort", help="Sort order; step means by run, then step.")
    ] = "step",
    format_: FormatOption = None,
    store: StoreOption = None,
    no_cache: NoCacheOption = False,
) -> int:
    """List checkpoints by run and step, and whether each is known to verify.

    Nothing is read but manifests, so that this takes no time; `ckptkit verify` judges content.

    Examples:
        ckptkit list
        ckptkit list ppo/run1 --limit 3

    Exit codes:
        0: They are listed; there may be none.
        1: They are listed, but the pins and tags of a run are damaged.
        4: There is no such run.
    """
    session = session_of(context)
    opened = session.reader(store)
    listing = opened.list(run, tag=tag, limit=limit, sort=sort)
    found = list(listing)
    if not found:
        output.echo(f"no checkpoints{f' of {output.safe(run)}' if run else ''}", quiet=session.quiet)
        if run is not None and tag is None and not session.quiet:
            from ckptkit.store import nearest_run

            output.echo(f"  {nearest_run.hint(opened.storage, run)}")
    format_chosen = output.chosen(format_)
    output.rows(
        format_chosen,
        "checkpoints",
        COLUMNS,
        _records(found, exact=format_chosen != "table"),
        spare=(
            "ITEMS",
            "CREATED",
            "METRICS",
            "SIZE",
            "PINS, TAGS",
            "CAPTURED, SHOWN",
        ),  # the state stays, however narrow
        names=("RUN",),
        quiet=session.quiet,
    )
    unlisted.tell(opened, run, quiet=session.quiet)
    for problem in listing.refs_problems:
        output.echo(f"pins and tags are not known: {output.safe(problem)}")
    if listing.refs_problems:
        return 1
    return 4 if run is not None and not found and tag is None else 0


def _records(found: "list[Listed]", *, exact: bool) -> Iterator[tuple[list[object], dict[str, Any]]]:
    for one in found:
        summary = one.summary
        refs = (["pinned"] if one.pinned else []) + list(one.tags)
        refs = refs if one.refs_problem is None else ["unknown"]
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
        step = "?" if one.at.step is None else one.at.step
        cells: list[object] = [one.at.run, step, _words(one, exact=exact), "", "", "", "", "", ",".join(refs)]
        if summary is not None:
            metrics = {name: _number(value) for name, value in summary.metrics.items()}
            fields |= {
                "sequence": summary.sequence,
                "captured": summary.grade,
                "shown": None if one.shown is None else one.shown.fields(),
                "size": summary.size,
                "created_at": summary.created_at,
                "items": summary.items,
                "metrics": metrics,
                "counters": summary.counters,
            }
            cells[3:8] = [
                f"{summary.grade}, {one.shown.words if one.shown else 'nothing'}",
                summary.size if exact else output.size(summary.size),
                summary.created_at if exact else summary.created_at[:16].replace("T", " "),
                ",".join(summary.items),
                ",".join(f"{name}={value if exact else _short(value)}" for name, value in metrics.items()),
            ]
        yield cells, fields


def _content(one: "Listed") -> dict[str, Any]:
    """Return what the last verification found, and when and how far it looked, if no file was changed since."""
    known = one.known
    if known is None or (known.good and known.level == "presence"):
        return {"content": "unverified", "verified_at": None, "verified_level": None}
    content = "verified" if known.good else "damaged"
    return {"content": content, "verified_at": output.moment(known.when), "verified_level": known.level}


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
