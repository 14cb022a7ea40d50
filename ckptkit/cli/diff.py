"""`ckptkit diff`: what changed between two checkpoints, and by how much."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ckptkit.cli import naming, output
from ckptkit.cli.progress import progress_bar
from ckptkit.cli.session import FormatOption, MetricOption, ModeOption, NoCacheOption, StoreOption, session_of

if TYPE_CHECKING:
    from ckptkit.store import Comparison, Difference

COLUMNS = ("KIND", "CHANGE", "ITEM", "NAME", "A", "B", "BY", "OF A", "LARGEST")


def diff(
    context: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", help="The first: RUN@STEP, RUN@latest, RUN@best, RUN, or a path.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The second; it may be of another run.")],
    no_values: Annotated[
        bool, typer.Option("--no-values", help="Compare names, dtypes and shapes, and read no tensor.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="List every tensor and setting that changed.")] = False,
    metric: MetricOption = None,
    mode: ModeOption = None,
    format_: FormatOption = None,
    store: StoreOption = None,
    no_cache: NoCacheOption = False,
) -> int:
    """Show what changed between two checkpoints, and by how much.

    Items, files, tensors, metrics, counters, config and environment. What has the same digest is the same, and is not
    read. Of other tensors the numbers are read and compared: the L2 norm of B - A, as a share of the norm of A, and
    the largest difference of two numbers.

    Examples:
        ckptkit diff ppo/run1@4000 ppo/run1@5000
        ckptkit diff ppo/run1@1000 ppo/run1@latest --no-values

    Exit codes:
        0: They were compared, whether they differ or not.
        1: A file could not be read (it is on stderr); the rest was compared.
        4: There is no such checkpoint.
    """
    from ckptkit.cli import changes

    session = session_of(context)
    naming.named(session, [a, b], store)  # they must be of one store
    (url, first), (_, second) = (naming.one_named(session, word, store, "each side of diff") for word in (a, b))
    opened = session.reader(url)
    best = next((ref for ref in (first, second) if ref.word == "best"), None)
    ranking = session.ranking(str(best), metric, mode) if best else None
    with progress_bar(quiet=session.quiet) as show:
        found = opened.compare(first, second, values=not no_values, ranking=ranking, on_progress=show)
    chosen = output.chosen(format_)
    if chosen == "table":
        for text in changes.lines(found, verbose=verbose):
            output.line(text)
    else:
        records = ((_cells(one), _fields(one)) for one in found.differences)
        output.rows(chosen, "differences", COLUMNS, records, _extra(found))
    for one in found.unread:
        output.echo(output.safe(f"{one.at.ref}: {one.path}: {one.reason}: not compared"))
    return 1 if found.unread else 0


def _extra(found: "Comparison") -> dict[str, Any]:
    return {
        "a": found.a.ref,
        "b": found.b.ref,
        "same_files": found.same_files,
        "same_tensors": found.same_tensors,
        "unread_tensors": found.unread_tensors,
        "unread": [{"ref": one.at.ref, "file": one.path, "reason": one.reason} for one in found.unread],
    }


def _fields(one: "Difference") -> dict[str, Any]:
    measured = None if one.change is None else {**asdict(one.change), "relative": one.change.relative}
    return {
        "kind": one.kind,
        "how": one.how,
        "item": one.item or None,
        "name": one.name,
        "a": one.a,
        "b": one.b,
        "change": measured,
    }


def _cells(one: "Difference") -> list[object]:
    from ckptkit.cli import changes

    cells: list[object] = [one.kind, one.how, one.item, one.name, *map(_text, (one.a, one.b))]
    if one.change is not None:
        return [*cells, one.change.norm, one.change.norm_a, one.change.largest]
    by = changes.difference(one)
    return [*cells, "" if by is None else by, "", ""]


def _text(value: Any) -> str:
    if isinstance(value, dict) and "digest" in value:
        return f"{value['path']} {value['size']} {value['digest']}"
    if isinstance(value, dict) and "shape" in value:
        return f"{value['dtype']} {value['shape']}"
    return "" if value is None else value if isinstance(value, str) else output.dump(value)
