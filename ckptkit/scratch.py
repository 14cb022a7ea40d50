"""A rehearsal, seen from the rehearsed process: which store stands in for the real one, and how far to go.

One environment variable says it all, so that it reaches a training script through any launcher.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from ckptkit.errors import StoreError

VARIABLE = "CKPTKIT_REHEARSAL"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What the environment of a rehearsed process says.

    Attributes:
        real: root of the store that the run writes to; opening it opens ``scratch``.
        scratch: root of the scratch copy, which holds one checkpoint.
        run: run of that checkpoint.
        step: its step.
        steps: how many steps to note.
        until: note them all up to this step instead; 0: not given.
        notes: file to note them in.
    """

    real: str
    scratch: str
    run: str
    step: int
    steps: int
    until: int
    notes: str

    def variable(self) -> str:
        """Return the value of the environment variable."""
        return json.dumps(asdict(self))


def current() -> Rehearsal | None:
    """Return the rehearsal that this process is part of, or None in an ordinary run."""
    text = os.environ.get(VARIABLE)
    return Rehearsal(**json.loads(text)) if text else None


def rehearsing() -> Path | None:
    """Return a scratch folder when this process is a rehearsal, else None.

    A script that writes files of its own outside the store, or reports its progress somewhere, can ask this and
    refrain, or write into the folder, which is removed after the rehearsal.

    Example:
        >>> out = ckptkit.rehearsing() or Path("results")
    """
    rehearsal = current()
    return None if rehearsal is None else Path(rehearsal.scratch).parent


def redirected(root: Path) -> Path:
    """Return the folder to open instead of a store's: in a rehearsal, the scratch copy replaces the real store.

    Raises:
        StoreError: the real store is below the folder, so that what is written there could not be kept apart.
    """
    rehearsal = current()
    if rehearsal is None:
        return root
    resolved, real = root.resolve(), Path(rehearsal.real)
    if resolved.is_relative_to(real):
        return Path(rehearsal.scratch) / resolved.relative_to(real)
    if real.is_relative_to(resolved):
        raise StoreError(
            f"store {root}: holds the store {real}, of which this process is a rehearsal",
            hint="rehearse it under the same root: ckptkit --store ROOT verify RUN@STEP --level resume --steps N",
        )
    return root


def redirected_url(url: str) -> Path | None:
    """Return the folder to open instead of a store that is no folder; None where this process rehearses no such one."""
    rehearsal = current()
    if rehearsal is None or not f"{url}/".startswith(f"{rehearsal.real}/"):
        return None
    return Path(rehearsal.scratch, url.removeprefix(rehearsal.real).strip("/"))
