"""What loading a pickle would do, without loading it: an inert machine follows it, an allowlist judges the names."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.formats.opening import opened, reason
from ckptkit.formats.pickle_grading import grade, loudest_first, may_be_filled
from ckptkit.formats.pickle_machine import CallHook, Found, Global, Hook, Machine
from ckptkit.formats.pickle_opcodes import follow
from ckptkit.formats.pickle_stream import PickleError, PickleTooComplexError
from ckptkit.problem import Problem

_MOST_SHOWN = 20
_MOST_STACKED = 8


def check_pickle(data: bytes, *, file: str, where: str = "") -> list[Problem]:
    """Check one pickle.

    Args:
        data: its bytes; there must be nothing after its end.
        file: name for the problems.
        where: locator put in front of each message, such as ``data:lr_schedule``.

    Returns:
        ``pickle-dangerous`` and ``pickle-contains-code`` (unsafe), ``pickle-unrecognised`` (warning), and
        ``pickle-damaged``, ``pickle-trailing-data``, ``pickle-too-complex`` (error); empty if all is well.
    """
    return check_pickle_stream(BytesIO(data), len(data), file=file, where=where)


def check_pickle_file(path: Path, *, file: str, where: str = "") -> list[Problem]:
    """Check a file that is one pickle (a replay buffer, a VecNormalize); arrays in it are skipped, not read."""
    try:
        with opened(path) as (stream, length):
            return check_pickle_stream(stream, length, file=file, where=where)
    except (DamagedError, OSError) as error:
        return [Problem("pickle-damaged", f"cannot be read ({reason(error)})", file)]


def check_pickle_stream(stream: BinaryIO, length: int, *, file: str, where: str = "") -> list[Problem]:
    """Check the pickle that starts at the stream's position and must end at ``length``; see ``check_pickle``."""
    problems = follow_pickle(stream, length, file=file, where=where)
    left = length - stream.tell()
    if left and not any(problem.severity == "error" for problem in problems):
        message = f"{left} bytes follow its end; a second load would read them"
        problems.append(Problem("pickle-trailing-data", _at(where, message), file))
        problems += _stacked(stream, length, file, where)
    return problems


def follow_pickle(
    stream: BinaryIO,
    length: int,
    *,
    file: str,
    where: str = "",
    persistent: Hook | None = None,
    call: CallHook | None = None,
    stored: int | None = None,
) -> list[Problem]:
    """Follow the one pickle that starts at the stream's position, and leave the stream after its end.

    Args:
        stream: seekable bytes.
        length: length of the whole stream.
        file: name for the problems.
        where: locator put in front of each message.
        persistent: gives the value of a persistent id; without it, one is damage.
        call: sees each call of a global; see ``Machine``.
        stored: bytes that it takes on the disk, if it is packed; see ``Machine``.

    Returns:
        The problems, the dangerous ones first.
    """
    machine = Machine(stream, length, persistent=persistent, call=call, stored=stored)
    damage: list[Problem] = []
    try:
        follow(machine)
    except PickleError as error:
        code = "pickle-too-complex" if isinstance(error, PickleTooComplexError) else "pickle-damaged"
        damage.append(Problem(code, _at(where, str(error)), file))
    return [*judge(machine.found, file=file, where=where), *damage]


def judge(found: Found, *, file: str, where: str = "") -> Iterable[Problem]:
    """Yield what the names and tricks that were found in a pickle say of loading it."""
    graded: dict[str, list[Global]] = {"allowed": [], "dangerous": [], "code": [], "unrecognised": []}
    for name in found.globals:
        followed = found.only_loads(name)
        made, called = found.only_made(name), found.only_called(name)
        graded["allowed" if followed else grade(name, made_only=made, called_only=called)].append(name)
    for name in loudest_first(graded["dangerous"])[:_MOST_SHOWN]:
        word = escaped(str(name))
        called = name in found.called
        message = f"would call {word} when loaded" if called else f"would import {word}, which can run code"
        yield Problem("pickle-dangerous", _at(where, message), file, severity="unsafe")
    if graded["code"]:
        # A function by value is made by calling what was just made, so the tricks say nothing more.
        message = f"contains code of its own (built by {escaped(str(graded['code'][0]))})"
        yield Problem("pickle-contains-code", _at(where, message), file, severity="unsafe")
    else:
        filled = [f"would put items into what {name} made" for name in found.filled if not may_be_filled(name)]
        for trick in [*found.tricks, *filled][:_MOST_SHOWN]:
            yield Problem("pickle-dangerous", _at(where, escaped(trick)), file, severity="unsafe")
    if unrecognised := [escaped(str(name)) for name in graded["unrecognised"]]:
        names = tuple(_at(where, name) for name in unrecognised)
        yield Problem(
            "pickle-unrecognised", _at(where, _unrecognised(unrecognised)), file, severity="warning", names=names
        )


def gathered(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems, with the unrecognised names of all pickles in a file merged into one."""
    told: list[Problem] = []
    first: dict[tuple[str | None, str | None, str], int] = {}
    for problem in problems:
        if problem.code == "pickle-unrecognised":
            at = first.setdefault((problem.item, problem.file, problem.severity), len(told))
            if at < len(told):
                names = (*told[at].names, *problem.names)
                told[at] = replace(told[at], message=_unrecognised(names), names=names)
                continue
        told.append(problem)
    return told


def _unrecognised(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"would import {names[0]}, which is not on the allowlist"
    return f"would import {len(names)} names that are not on the allowlist: {names[0]} and {len(names) - 1} more"


def _stacked(stream: BinaryIO, length: int, file: str, where: str) -> list[Problem]:
    """Return what is unsafe in the pickles that follow the first one; that they are there is reported already."""
    found: list[Problem] = []
    for number in range(2, _MOST_STACKED + 2):
        if stream.tell() >= length:
            break
        problems = follow_pickle(stream, length, file=file, where=_at(where, f"pickle {number}"))
        found += [problem for problem in problems if problem.severity == "unsafe"]
        if any(problem.severity == "error" for problem in problems):
            break
    return found


def _at(where: str, message: str) -> str:
    return f"{where}: {message}" if where else message
