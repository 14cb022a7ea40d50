"""A tree for people to read: one line for each thing, names cut in the middle where the terminal is narrow."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from ckptkit.cli import output, tables

_LEAST_NAME = 12
_GAP = 2


@dataclass(frozen=True, slots=True)
class Node:
    """One line of a tree, and what hangs below it.

    Attributes:
        text: a name, which may be cut, if there are cells; else words, which are wrapped.
        cells: numbers and short words behind a name; never cut, and below those of the lines around it.
        below: the lines that hang below it.
        spare: how many of the last cells may be left out, where names would be cut otherwise.
    """

    text: str
    cells: Sequence[str] = ()
    below: Sequence["Node"] = ()
    spare: int = 0


def draw(nodes: Sequence[Node], limit: int | None, before: str = "") -> Iterator[str]:
    """Yield the lines of a tree.

    Args:
        nodes: side by side; all text is escaped here.
        limit: how wide lines may be.
        before: what stands in front of each line.
    """
    branch, last, through, blank = ("├── ", "└── ", "│   ", "    ") if _draws() else ("|-- ", "`-- ", "|   ", "    ")
    room = None if limit is None else max(limit - len(before) - len(branch), 0)
    texts = _aligned(nodes, room)
    for number, (node, lines) in enumerate(zip(nodes, texts, strict=True)):
        end = number == len(nodes) - 1
        further = before + (blank if end else through)
        under = further + (through if node.below else blank)[:_GAP]
        for index, text in enumerate(lines):
            yield (under if index else before + (last if end else branch)) + text
        yield from draw(node.below, limit, further)


def wrapped(words: Sequence[str], limit: int | None, gap: str = " ") -> list[str]:
    """Return words joined to lines; none is cut or folded, so a line of one long word may be longer."""
    lines: list[str] = []
    for word in map(output.safe, words):
        if lines and (limit is None or len(lines[-1]) + len(gap) + len(word) <= limit):
            lines[-1] += gap + word
        else:
            lines.append(word)
    return lines or [""]


def cut(name: str, limit: int) -> str:
    """Return an escaped name in so many cells at most, with a mark where some of it is left out."""
    return tables.cut(output.safe(name), limit, "…" if _draws() else "...")


def _aligned(nodes: Sequence[Node], room: int | None) -> list[list[str]]:
    from rich.cells import cell_len

    names = [output.safe(node.text) for node in nodes]
    listed = [[output.safe(cell) for cell in node.cells] for node in nodes]
    widths = [max(map(cell_len, column)) for column in zip_longest(*listed, fillvalue="")]
    longest = max((cell_len(name) for name, node in zip(names, nodes, strict=True) if node.cells), default=0)
    if room is not None:
        spare = max((node.spare for node in nodes), default=0)
        while spare and longest + sum(widths) + _GAP * len(widths) > room:
            widths.pop()
            spare -= 1
        longest = min(longest, max(room - sum(widths) - _GAP * len(widths), _LEAST_NAME))
    lines = []
    for name, cells, node in zip(names, listed, nodes, strict=True):
        if not node.cells:
            lines.append(wrapped(node.text.split(" "), None if room is None else room - _GAP))
            continue
        row = zip([cut(name, longest), *cells], [longest, *widths], strict=False)
        lines.append([(" " * _GAP).join(cell + " " * (size - cell_len(cell)) for cell, size in row).rstrip()])
    return lines


def _draws() -> bool:
    """Return whether lines and dots can be written: not under LANG=C."""
    try:
        "├└│…".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
