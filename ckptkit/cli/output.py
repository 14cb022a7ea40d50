"""How results are printed: data on stdout, messages on stderr; a table only on a terminal, whole lines in a pipe."""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

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
    *,
    spare: Sequence[str] = (),
    names: Sequence[str] = (),
    prose: Sequence[str] | None = None,
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
        names: columns that a table cuts in the middle, if that does not suffice.
        prose: columns that a table continues below, between words; when left out, the last one unless it is a name.
        quiet: do not say on stderr what was left out or cut.
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
            texts = [str(cell) for cell in cells]
            if not "".join(texts).isprintable():
                texts = [safe(text) for text in texts]
            line("\t".join(texts))
    else:
        words = columns[-1:] if prose is None and not {*spare, *names} & {columns[-1]} else prose or ()
        _table(columns, [cells for cells, _ in records], quiet=quiet, spare=spare, names=names, prose=words)


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


def width() -> int | None:
    """Return how many cells a line of stdout may have; None where it is no terminal, unless COLUMNS says so."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS"):
        return None
    return shutil.get_terminal_size().columns


def notes(lines: Iterable[str]) -> None:
    """Print lines of prose as data: where they are longer than the terminal, broken between words and indented."""
    from ckptkit.cli import tables

    for text in tables.unbroken([_shown(safe(one)) for one in lines], width()):
        line(text)


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, quiet: bool, **kinds: Sequence[str]) -> None:
    from ckptkit.cli import tables

    cells = [[_shown(safe(cell)) for cell in row] for row in rows]
    mark = "…" if writable("…", sys.stdout) else "..."
    table = tables.fitted(columns, cells, width(), mark=mark, **kinds)
    heading, *body = table.lines
    line(f"\x1b[1m{heading}\x1b[0m" if _is_bold() else heading)
    for text in body:
        line(text)
    if table.left_out:
        echo(f"left out to fit the terminal: {'; '.join(table.left_out)} (--format tsv shows all)", quiet=quiet)
    elif table.cut:
        echo("names are cut to fit the terminal (--format tsv shows all)", quiet=quiet)


def writable(text: str, stream: TextIO) -> bool:
    """Whether a stream's encoding knows all characters of a text."""
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _shown(text: str) -> str:
    """Return the text as stdout will write it: what its encoding lacks is escaped there, and takes more room."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _is_bold() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
