"""Starts a fresh interpreter in which saved items are put back and continue, as in a resumed run."""

import inspect
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckptkit.backend import Grade
from ckptkit.formats import strict_json
from ckptkit.testing import newcomer
from ckptkit.testing.hooks import BackendHooks, Saved

_LIMIT_SECONDS = 300  # for a load that hangs, not for a slow one


@dataclass(frozen=True, slots=True)
class Case:
    """One saved item.

    Attributes:
        name: for messages.
        grade: the grade it is meant to have.
        factories: whether any were given when it was saved.
        saved: the item.
        built: which of ``changed_items`` it is; None for any other item.
    """

    name: str
    grade: Grade
    factories: bool
    saved: Saved
    built: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an item.

    Attributes:
        error: why it could not be put back or continue.
        changed: the parts, among those the store compares, that are not what was saved.
        outputs: fingerprints of the remaining outputs.
    """

    error: str | None
    changed: Sequence[str]
    outputs: Sequence[str]


def resume_in_a_new_process(hooks: BackendHooks, cases: Sequence[Case], place: Path) -> list[Answer]:
    """Load each item into a target that the hooks make in the new process, and continue for ``steps`` outputs.

    Args:
        hooks: an instance of the test class; its module is imported again over there.
        cases: saved items.
        place: folder for the question and the answer.
    """
    question, answer = place / "resume.json", place / "resumed.json"
    question.write_bytes(strict_json.dumps({**where(type(hooks)), "cases": [_described(case) for case in cases]}))
    # -P: the folder of the script must not be searched for modules.
    command = [sys.executable, "-P", newcomer.__file__, str(question), str(answer)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False)
    if not answer.exists():
        raise AssertionError(f"the new process ended with code {done.returncode}:\n{done.stderr[-2000:]}")
    return [Answer(**found) for found in json.loads(answer.read_bytes())]


def where(hooks: type[BackendHooks]) -> dict[str, Any]:
    """Say where the hooks are: the nearest class that can be imported by name, and the backend by its own name."""
    for one in hooks.__mro__:
        module = sys.modules.get(one.__module__)
        if module is not None and getattr(module, one.__qualname__, None) is one:
            torch = sys.modules.get("torch")
            return {
                "path": [entry for entry in sys.path if entry],
                "module": one.__module__,
                "file": inspect.getfile(one),
                "hooks": one.__qualname__,
                "backend": [hooks.backend.__module__, hooks.backend.__qualname__],
                "threads": torch.get_num_threads() if torch is not None else None,
            }
    raise AssertionError(f"{hooks.__name__} has no base class at the top of a module")  # BackendHooks itself has one


def _described(case: Case) -> dict[str, Any]:
    saved = case.saved
    return {
        "grade": case.grade,
        "built": case.built,
        "directory": str(saved.directory),
        "files": saved.files,
        "step": saved.step,
        "metadata": saved.metadata,
        "probe": saved.probe,
    }
