"""`ckptkit doctor`: examine the installation and the store."""

import os
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from ckptkit.cli import output
from ckptkit.cli.session import FormatOption, NoCacheOption, Session, StoreOption, session_of

if TYPE_CHECKING:
    from ckptkit.health import Finding

COLUMNS = ("ABOUT", "NAME", "STATE", "MESSAGE", "REMEDY")


def doctor(
    context: typer.Context, format_: FormatOption = None, store: StoreOption = None, no_cache: NoCacheOption = False
) -> int:
    """Examine this installation, its configuration and the store, and say what to do about what is wrong.

    Versions and backends; whether the store is there, can be written and has room; what its file system can do; runs
    that are being trained, what saves that died left behind, the trash and the cache. A save is tried in a scratch
    folder inside the store, of which nothing stays; nothing else is changed.

    Examples:
      ckptkit doctor
      ckptkit doctor --store runs --format json

    Exit codes:
      0: Nothing is wrong, or there are warnings only.
      1: There is a problem.
    """
    session = session_of(context)
    found = list(_findings(session, store))
    chosen = output.chosen(format_)
    if chosen == "table":
        for text in _for_people(found, shutil.get_terminal_size().columns):
            output.line(text)
    else:
        counts = {f"{state}s": sum(one.state == state for one in found) for state in ("problem", "warning")}
        output.rows(chosen, "findings", COLUMNS, _records(found), counts)
    problems, warnings = (sum(one.state == state for one in found) for state in ("problem", "warning"))
    told = f"{output.count(problems, 'problem')}, {output.count(warnings, 'warning')}"
    well = "nothing is wrong with the set-up; `ckptkit verify` judges the checkpoints"
    output.echo(told if problems or warnings else well, quiet=session.quiet)
    return 1 if problems else 0


def _findings(session: Session, store: str | None) -> "Iterator[Finding]":
    from pathlib import Path

    from ckptkit import doctor as examined

    yield from examined.installation()
    yield from examined.backends()
    config, finding = examined.configuration(Path.cwd())
    yield finding
    yield examined.cache()
    named = (session.store if store is None else store) is not None or os.environ.get("CKPTKIT_STORE")
    if config is not None or named:
        yield from examined.of_store(session.url(store), cache=session.cache)
        if config is not None and (mirror := session.mirror(store)) is not None:
            for one in examined.of_store(mirror, cache=session.cache):
                yield replace(one, about=f"mirror: {one.about}")
    else:
        told = "not looked at: the configuration that may name it cannot be read"
        yield examined.Finding("store", "there", "warning", told, "name it with --store")


def _records(found: "Sequence[Finding]") -> Iterator[tuple[list[object], dict[str, Any]]]:
    for one in found:
        fields = {
            "about": one.about,
            "name": one.name,
            "state": one.state,
            "message": one.message,
            "remedy": one.remedy or None,
            "details": dict(one.details),
        }
        yield [one.about, one.name, one.state, one.message, one.remedy], fields


def _for_people(found: "Sequence[Finding]", width: int) -> Iterator[str]:
    """Yield lines in groups; what to do stands below what is wrong."""
    for about in dict.fromkeys(one.about for one in found):
        yield about[0].upper() + about[1:]
        for one in (one for one in found if one.about == about):
            yield from _wrapped(f"  {one.state:<8} ", f"{one.name}: {one.message}", width)
            if one.remedy:
                yield from _wrapped(f"  {'':<8} -> ", one.remedy, width)


def _wrapped(before: str, text: str, width: int) -> list[str]:
    room = max(width - len(before), 20)
    lines = textwrap.wrap(output.safe(text), room, break_long_words=False, break_on_hyphens=False)
    return [(before if index == 0 else " " * len(before)) + line for index, line in enumerate(lines)]
