"""What may stand for REF on the command line, and how it is looked up: the store it is in, and what it names there."""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ckptkit.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from ckptkit.cli.session import Session
    from ckptkit.store import Ref
    from ckptkit.store.selecting import Selection

MOST = 64 << 20  # bytes of stdin
RefsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="REF", help="RUN@STEP, a pattern of runs such as 'ppo/*@latest', or a path; RUN: its newest step."
    ),
]


def named(session: "Session", words: Sequence[str], store: str | None = None, *, removed: bool = False) -> "Selection":
    """Return what words name, in the session's store, or in the one that a path among them lies in.

    Args:
        session: of the command.
        words: as a person typed them.
        store: the command's own ``--store``.
        removed: ask for what is in the trash.
    """
    from ckptkit.store import selecting

    given = (session.store if store is None else store) is not None
    return selecting.select(words, session.url(store), given=given, removed=removed)


def one_named(session: "Session", word: str, store: str | None, command: str) -> tuple[str, "Ref"]:
    """Return the store and the one reference that a word names, for a command that takes no more than one."""
    from ckptkit.store import selecting

    found = named(session, [word], store)
    return found.url, selecting.one(found.refs, word, command)


def with_stdin(words: Sequence[str], *, null: bool) -> list[str]:
    """Return the words, with those on stdin in the place of ``-``.

    Args:
        words: as a person typed them.
        null: they end with NUL on stdin, not with the line.

    Raises:
        NotFoundError: stdin was asked for, and names nothing.
    """
    if "-" not in words:
        if null:
            raise UsageError("--null belongs to `-`, which reads REFs from stdin", hint="for example verify - --null")
        return list(words)
    found = list(_on_stdin(null=null))
    at = words.index("-")
    result = [*words[:at], *found, *(word for word in words[at + 1 :] if word != "-")]
    if not result:  # never the whole store
        raise NotFoundError("stdin names no checkpoint, so there is nothing to check", hint="`ckptkit list` shows some")
    return result


def _on_stdin(*, null: bool) -> Iterator[str]:
    data = sys.stdin.buffer.read(MOST + 1)
    if len(data) > MOST:
        raise UsageError("stdin is longer than 64 MiB", hint="give one REF in each line")
    if null:
        yield from (os.fsdecode(word) for word in data.split(b"\0") if word)
        return
    lines = [os.fsdecode(line.removesuffix(b"\r")) for line in data.split(b"\n")]
    heading = lines[0].split("\t")
    if "RUN" in heading and "STEP" in heading:
        yield from _of_rows(lines[1:], heading.index("RUN"), heading.index("STEP"))
    else:
        yield from (line for line in lines if line)


def _of_rows(lines: Sequence[str], run: int, step: int) -> Iterator[str]:
    """Yield the references of a table that `ckptkit list` prints in a pipe."""
    for number, line in enumerate(lines, start=2):
        cells = line.split("\t")
        if not line:
            continue
        if len(cells) <= max(run, step) or not cells[step].isdigit():
            raise UsageError(
                f"stdin: line {number} names no checkpoint: {line[:80]!r}", hint="pipe `ckptkit list --format path`"
            )
        yield f"{cells[run]}@{cells[step]}"
