"""How results are printed: data on stdout, messages on stderr; a table only on a terminal, whole lines in a pipe."""

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ckptkit.formats.escaped import escaped
from ckptkit.manifest.redaction import redact_text

if TYPE_CHECKING:
    from ckptkit.store import Chosen

SCHEMA_VERSION = "1.0"
_UNCUT = 1 << 20


def line(text: str = "") -> None:
    """Print one line of data."""
    sys.stdout.write(text + "\n")


def echo(text: str, *, quiet: bool = False) -> None:
    """Print one line for people, on stderr; what looks like a secret is masked."""
    if not quiet:
        sys.stdout.flush()  # so that the two streams come in the order in which they were written
        with contextlib.suppress(OSError):  # a log that cannot be written changes no result
            sys.stderr.write(redact_text(text) + "\n")


def followed(chosen: "Chosen", ref: str, *, quiet: bool = False) -> None:
    """Say that a run was followed to another one, and how to ask for the run itself."""
    for text in chosen.followed:
        echo(safe(text), quiet=quiet)
    if chosen.at.run != ref.partition("@")[0]:
        echo("--exact-run asks for the run itself", quiet=quiet)


def open_missing() -> None:
    """Open what was closed before the start (`>&-`): otherwise the next file opened would take its place."""
    for name in ("stdin", "stdout", "stderr"):  # in this order each gets its own number, 0 to 2
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115 - it stays


def closed() -> int:
    """Return the exit code for a stdout that was closed early (`| head -1`), without a traceback at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 128 + 13  # as a program that SIGPIPE ended


def settle() -> None:
    """Drop what a full device did not take: at exit Python would try once more, and end with code 120."""
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def safe(value: object) -> str:
    """Return the text of a value with control and bidirectional characters escaped, uncut."""
    return escaped(str(value), _UNCUT)


def chosen(format_: str | None) -> str:
    """Return the output format: a table on a terminal, tab-separated values in a pipe."""
    return format_ or ("table" if sys.stdout.isatty() else "tsv")


def count(number: int, noun: str) -> str:
    """Return ``1 file``, ``2 files``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def moment(when: float) -> str:
    """Return seconds since 1970 as ISO 8601, UTC."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def size(count: int) -> str:
    """Return bytes for people, in powers of ten."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def rows(
    format_: str,
    name: str,
    columns: Sequence[str],
    records: Iterable[tuple[Sequence[object], Mapping[str, Any]]],
    extra: Mapping[str, Any] | None = None,
    spare: Sequence[str] = (),
    quiet: bool = False,
) -> None:
    """Print records, each given as cells and as JSON fields.

    Args:
        format_: ``table``, ``tsv``, ``json`` or ``ndjson``.
        name: key of the list in the JSON document.
        columns: headings of the cells.
        records: cells (text for table and tsv) and fields (for json and ndjson).
        extra: further fields of the JSON document.
        spare: columns that a table leaves out, one after the other, until it fits into the terminal.
        quiet: do not say on stderr which those were.
    """
    if format_ == "json":
        document = {"schema_version": SCHEMA_VERSION, name: [fields for _, fields in records], **(extra or {})}
        line(dump(document, indent=2))
    elif format_ == "ndjson":
        for _, fields in records:
            line(dump({"schema_version": SCHEMA_VERSION, **fields}))
    elif format_ == "tsv":
        line("\t".join(columns))
        for cells, _ in records:
            line("\t".join(safe(cell) for cell in cells))
    else:
        _table(columns, [[safe(cell) for cell in cells] for cells, _ in records], spare, quiet)


def dump(value: Any, indent: int | None = None) -> str:
    """Return JSON text for other programs: NaN and infinity as strings, so that every parser reads it.

    It is ASCII: what a terminal's encoding cannot write would be escaped in a way that JSON does not know, and a
    hostile name must not control a terminal.
    """
    return json.dumps(_finite(value), indent=indent, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if (isinstance(value, float) and value in (float("inf"), float("-inf"))) or value != value:
        return {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return value


def _table(columns: Sequence[str], cells: Sequence[Sequence[str]], spare: Sequence[str], quiet: bool) -> None:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False, no_color=bool(os.environ.get("NO_COLOR")))
    # What is empty in every row takes no room.
    used = [i for i, _ in enumerate(columns) if any(row[i] for row in cells)] or list(range(len(columns)))
    widths = [max(cell_len(text) for text in (columns[i], *(row[i] for row in cells))) for i in range(len(columns))]
    out = []
    for name in spare:
        if sum(widths[i] + 2 for i in used) - 2 > console.width and (index := columns.index(name)) in used:
            used.remove(index)
            out.append(name)
    columns, cells = [columns[i] for i in used], [[row[i] for i in used] for row in cells]
    table = Table(box=None, pad_edge=False, header_style="" if os.environ.get("NO_COLOR") else "bold")
    for index, column in enumerate(columns):
        numeric = all(row[index][:1].isdigit() for row in cells if row[index]) and bool(cells)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold", no_wrap=index == 0)
    for row in cells:
        table.add_row(*[_plain(cell) for cell in row])
    console.print(table)
    if out:
        echo(f"left out to fit the terminal: {', '.join(out)} (--format tsv shows all)", quiet=quiet)


def _plain(cell: str) -> Any:
    from rich.text import Text

    return Text(cell)  # never markup: names come from files
