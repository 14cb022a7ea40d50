"""What is in an item's files: the walker looks into every one of them, then the backend says what it knows besides."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import get_args

from ckptkit.formats import kinds
from ckptkit.problem import Problem, Severity

_FROM_MILD_TO_BAD = get_args(Severity)


def problems(of_backend: Callable[[], Iterable[Problem]], folder: Path, files: Sequence[str]) -> list[Problem]:
    """Return what the walker finds in an item's files, and what the item's backend finds.

    A backend need not know of pickles, nor look into every file: that is done here, whoever wrote it.

    Args:
        of_backend: asks the backend.
        folder: the item's folder.
        files: the item's files relative to it.

    Raises:
        Exception: whatever ``of_backend`` raises.
    """
    with kinds.each_file_once():
        walked = [problem for name in files for problem in kinds.look_into_file(folder / name, file=name)]
        return _merged([*walked, *of_backend()])


def _merged(found: Sequence[Problem]) -> list[Problem]:
    """Return the problems without repetitions; of two that differ in severity only, the worse one."""
    merged: dict[tuple[str, str | None, str], Problem] = {}
    for problem in found:
        key = problem.code, problem.file, problem.message
        known = merged.setdefault(key, problem)
        if _FROM_MILD_TO_BAD.index(problem.severity) > _FROM_MILD_TO_BAD.index(known.severity):
            merged[key] = problem
    return list(merged.values())
