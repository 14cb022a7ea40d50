"""The rehearsed process: note what the resumed run does, beside the scratch store, and end once it went far enough."""

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ckptkit import durable
from ckptkit.catalog import manifests
from ckptkit.formats import strict_json
from ckptkit.scratch import Rehearsal
from ckptkit.storage import open_storage
from ckptkit.verification import numeric
from ckptkit.verification.observation import Digests


@dataclass(frozen=True, slots=True)
class Notes:
    """What a rehearsed run noted.

    Attributes:
        began: the first step that it did.
        steps: digests after each step.
        environment: one line for each part of the numeric environment that differs from the save's.
        over: whether it went as far as it was asked to go.
    """

    began: int
    steps: dict[int, Digests] = field(default_factory=dict)
    environment: list[str] = field(default_factory=list)
    over: bool = False


def read(path: Path) -> Notes | None:
    """Return the notes so far, or None if nothing was noted yet."""
    try:
        value = strict_json.load(path)
    except FileNotFoundError:
        return None
    steps = {int(step): digests for step, digests in value["steps"].items()}
    return Notes(value["began"], steps, value["environment"], value["over"])


class Rehearsed:
    """Takes the place of observing in a rehearsed process."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._rehearsal = rehearsal
        self._notes: Notes | None = None

    def note(self, step: int, digests: Callable[[], Digests]) -> None:
        """Note one step; raises SystemExit after the last."""
        rehearsal = self._rehearsal
        if self._notes is None:
            self._notes = Notes(step, {}, self._elsewhere())
        notes = self._notes
        if step > rehearsal.step:
            notes.steps[step] = digests()
        far = step >= rehearsal.until if rehearsal.until else len(notes.steps) >= rehearsal.steps
        over = notes.began <= rehearsal.step or far
        self._write(over)
        if over:
            sys.exit(0)

    def _write(self, over: bool) -> None:
        assert self._notes is not None
        content: dict[str, Any] = {
            "began": self._notes.began,
            "steps": {str(step): digests for step, digests in self._notes.steps.items()},
            "environment": self._notes.environment,
            "over": over,
        }
        durable.replace_file(Path(self._rehearsal.notes), strict_json.dumps(content))

    def _elsewhere(self) -> list[str]:
        with contextlib.suppress(OSError):
            for at in open_storage(self._rehearsal.scratch).at_step(self._rehearsal.run, self._rehearsal.step):
                manifest, _ = manifests.read(at)
                if manifest is not None:
                    return numeric.differences(manifest.environment)
        return []
