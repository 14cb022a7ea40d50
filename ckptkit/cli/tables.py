"""Tables that fit a terminal: optional columns go first, then names are cut in the middle; numbers are never touched.

What a cell says must not read as something else. So a number, a step, a state or a result is shown whole or not at all,
a name that was cut has a mark where it was (and keeps its ``@STEP``), and prose goes on below itself, between words.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_GAP = "  "
_NAME = 12  # cells that a name keeps at least
_PROSE, _WORD = 24, 40  # cells in which prose can still be read, and up to which none of its words is broken
_STEP = re.compile(r"@\d+$")


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it fits.

    Attributes:
        lines: of text, the heading first.
        left_out: the columns that there was no room for.
        cut: whether any name was.
    """

    lines: Sequence[str]
    left_out: Sequence[str]
    cut: bool


def fitted(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int | None,
    *,
    spare: Sequence[str] = (),
    names: Sequence[str] = (),
    prose: Sequence[str] = (),
    mark: str = "…",
) -> Table:
    """Return a table that is as wide as a terminal at most, if what may not be touched leaves room for the rest.

    Args:
        columns: headings.
        rows: cells that hold no control characters.
        width: of the terminal, in cells; None: whatever it takes.
        spare: columns to leave out, the first of them first.
        names: columns that may be cut in the middle.
        prose: columns that may go on below.
        mark: stands for what was cut out of a name.
    """
    # What is empty in every row takes no room.
    used = [i for i, _ in enumerate(columns) if any(row[i] for row in rows)] or list(range(len(columns)))
    natural = [max(cells(text) for text in (columns[i], *(row[i] for row in rows))) for i, _ in enumerate(columns)]
    least = list(natural)
    for i in (i for i in used if columns[i] in prose):
        longest = max((cells(word) for row in rows for word in row[i].split(" ")), default=0)
        least[i] = min(natural[i], max(_PROSE, min(_WORD, longest)))
    left_out = [] if width is None else _left_out(columns, least, used, width, spare, names)
    used = [i for i in used if columns[i] not in left_out]
    floors = {i: _NAME if columns[i] in names else _PROSE for i in used if columns[i] in (*names, *prose)}
    widths = natural if width is None else _shared(natural, least, used, width, floors)
    right = {i for i in used if rows and all(row[i][:1].isdigit() for row in rows if row[i])}
    lines = []
    for row in (columns, *rows):
        told = [_wrapped(row[i], widths[i]) if columns[i] in prose else [_cut(row[i], widths[i], mark)] for i in used]
        for at in range(max(map(len, told))):
            parts = [of[at] if at < len(of) else "" for of in told]
            padded = (_padded(part, widths[i], right=i in right) for part, i in zip(parts, used, strict=True))
            lines.append(_GAP.join(padded).rstrip())
    cut = any(columns[i] in names and natural[i] > widths[i] for i in used)
    return Table(lines, left_out, cut)


def cells(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    from rich.cells import cell_len  # not before something is drawn: rich takes its time

    return cell_len(text)


def cut(text: str, width: int, mark: str = "…") -> str:
    """Return a name in so many cells at most: cut in the middle, with a mark there; a step at its end stays whole."""
    if cells(text) <= width:
        return text
    step = found.group() if (found := _STEP.search(text)) else ""
    parts, room = _characters(text.removesuffix(step)), width - cells(mark) - cells(step)
    head, tail = _taken(parts, room - room // 2), _taken(parts[::-1], room // 2)
    return "".join([*head, mark, *tail[::-1], step])


def wrapped(text: str, width: int) -> list[str]:
    """Return prose in lines of so many cells, broken between words; inside one only if it is longer than a line."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if cells(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        parts = _characters(word)
        while len(part := _taken(parts, width)) < len(parts):
            lines[-1:] = ["".join(part or parts[:1]), ""]
            parts = parts[len(part) or 1 :]
        lines[-1] = "".join(parts)
    return lines


def unbroken(lines: Sequence[str], width: int | None, indent: str = "    ") -> Iterator[str]:
    """Yield lines of prose, in a terminal broken between words and indented below themselves."""
    for line in lines:
        start = line[: len(line) - len(line.lstrip())]
        if width is None or cells(line) <= width:
            yield line
            continue
        first, *rest = wrapped(line.strip(), width - len(start) - len(indent))
        yield start + first
        yield from (start + indent + part for part in rest)


_cut, _wrapped = cut, wrapped  # where an argument has the same name


def _left_out(
    columns: Sequence[str],
    least: Sequence[int],
    used: Sequence[int],
    width: int,
    spare: Sequence[str],
    names: Sequence[str],
) -> list[str]:
    """Return the columns that there is no room for, beside names of half the width."""
    wanted = [min(wide, width // 2) if columns[i] in names else wide for i, wide in enumerate(least)]
    there, out = list(used), []
    optional = [columns.index(name) for name in spare if name in columns and columns.index(name) in used]
    for i in optional:
        if _total(wanted, there) > width:
            there.remove(i)
            out.append(i)
    for i in reversed(out):  # a narrow one may fit where a wide one did not
        if _total(wanted, [*there, i]) <= width:
            there.append(i)
    return [columns[i] for i in optional if i not in there]


def _shared(
    natural: Sequence[int], least: Sequence[int], used: Sequence[int], width: int, floors: Mapping[int, int]
) -> list[int]:
    """Return widths of columns: what has a floor gives way, the widest first; prose takes what is left."""
    widths = list(least)
    for floor in (_NAME, _PROSE):  # names, then prose
        giving = [i for i in floors if floors[i] == floor]
        while _total(widths, used) > width and (wide := [i for i in giving if widths[i] > floor]):
            widths[max(wide, key=lambda i: widths[i])] -= 1
    for i in used:
        if floors.get(i) == _PROSE:
            widths[i] = min(natural[i], max(widths[i], widths[i] + width - _total(widths, used)))
    return widths


def _total(widths: Sequence[int], used: Sequence[int]) -> int:
    return sum(widths[i] + len(_GAP) for i in used) - len(_GAP)


def _padded(text: str, width: int, *, right: bool) -> str:
    room = " " * (width - cells(text))
    return room + text if right else text + room


def _taken(parts: Sequence[str], width: int) -> list[str]:
    """Return as many as fit, from the first on."""
    taken: list[str] = []
    for part in parts:
        if cells("".join([*taken, part])) > width:
            break
        taken.append(part)
    return taken


def _characters(text: str) -> list[str]:
    """Return a text in parts that may be torn apart: a letter keeps the marks that combine with it."""
    parts: list[str] = []
    for character in text:
        if parts and cells(character) == 0:
            parts[-1] += character
        else:
            parts.append(character)
    return parts
