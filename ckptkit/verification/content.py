"""What is in an item's files: the walker looks into every one of them, then the backend adds what it knows."""

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import get_args

from ckptkit.formats import kinds, named_members
from ckptkit.formats.just_written import just_written
from ckptkit.problem import Problem, Severity

_FROM_MILD_TO_BAD = get_args(Severity)


_OF_LOADING = ("pickle-", "torch-script", "yaml-", "npy-object-dtype")
"""Prefixes of the codes that say what loading a file would run, or that it cannot be followed."""


def problems(
    of_backend: Callable[[], Iterable[Problem]],
    folder: Path,
    files: Sequence[str],
    trusted: Collection[str] = (),
    written: Collection[str] = (),
) -> list[Problem]:
    """Return what the walker finds in an item's files, which files it lacks, and what its backend finds.

    A backend need not know about pickles, nor look into every file: that is done here for all of them.

    Args:
        of_backend: asks the backend.
        folder: the item's folder.
        files: the item's files relative to it.
        trusted: those that whoever saved them answers for: what loading them runs is reported, and fails nothing.
        written: those that this process has just written through a sink.

    Raises:
        Exception: whatever ``of_backend`` raises.
    """
    with kinds.each_file_once(), just_written(written):
        walked = [problem for name in files for problem in kinds.look_into_file(folder / name, file=name)]
        return _on_trust(_merged([*walked, *named_members.check_members(folder, files), *of_backend()]), trusted)


def _on_trust(found: Sequence[Problem], trusted: Collection[str]) -> list[Problem]:
    """Return the problems, with everything that loading a trusted file would run as a single warning."""
    waived = {name: [p for p in found if p.file == name and _is_of_loading(p)] for name in trusted}
    told = [_trusted(name, problems) for name, problems in waived.items()]
    gone = [problem for problems in waived.values() for problem in problems]
    return [*told, *(problem for problem in found if problem not in gone)]


def _is_of_loading(problem: Problem) -> bool:
    # Trusting what a file runs does not mean that the file is whole.
    return problem.code.startswith(_OF_LOADING) and problem.code not in ("pickle-damaged", "pickle-trailing-data")


def _trusted(file: str, waived: Sequence[Problem]) -> Problem:
    message = "trusted by whoever saved it"
    if waived:
        message += f": {waived[0].message}" + (f" (and {len(waived) - 1} more)" if len(waived) > 1 else "")
    return Problem(
        "file-trusted", message, file, severity="warning", names=tuple(problem.message for problem in waived)
    )


def _merged(found: Sequence[Problem]) -> list[Problem]:
    """Return the problems without repetitions; of two that differ only in severity, the worse one."""
    merged: dict[tuple[str, str | None, str], Problem] = {}
    for problem in found:
        key = problem.code, problem.file, problem.message
        known = merged.setdefault(key, problem)
        if _FROM_MILD_TO_BAD.index(problem.severity) > _FROM_MILD_TO_BAD.index(known.severity):
            merged[key] = problem
    return list(merged.values())
