"""Accelerate: no file is the last for sure, but the random states come after weights, optimizers and schedulers.

The ``step`` in them is no training step: it counts the batches of an accumulation, and begins again with each epoch.

Source: accelerate/checkpointing.py (``save_accelerator_state``), accelerator.py (``save_state``, ``_do_sync``).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.formats.torch_values import torch_table
from ckptkit.layouts.numbers import end_number
from ckptkit.trainers.ends import not_whole, require_closed_zip
from ckptkit.trainers.interface import Judged, Seen, Told
from ckptkit.trainers.state_files import as_count
from ckptkit.trainers.steps import told_step

_RANDOM, _OWN, _OPTIMIZER = "random_states_{}.pkl", "custom_checkpoint_{}.pkl", "optimizer.bin"
_MOST_RANKS = 100_000


@dataclass(frozen=True, slots=True)
class Accelerate:
    """``Accelerator.save_state``; its examples all know ``--resume_from_checkpoint``."""

    kind: str = "accelerate"
    title: str = "Accelerate"
    item: str = "model"
    resume: Sequence[str] = ("accelerate", "launch", "train.py", "--resume_from_checkpoint", "{path}")
    program: str | None = "train.py"

    def judge(self, seen: Seen) -> Judged:
        """Return whether the random states are there, and what is written after them."""
        try:
            _require_random(seen)
            _require_own(seen)
        except DamagedError as error:
            return not_whole(error)
        return Judged("complete", (f"{_RANDOM.format(0)}, written after all other state, is there",))

    def told(self, seen: Seen) -> Told:
        """Return the step of the name, else the updates that the optimizer has made; and an epoch in the name."""
        name = seen.found.name
        updates = None
        if seen.found.step is None:
            updates = _updates(torch_table(seen.folder / name / _OPTIMIZER).get("state"))
        told = told_step(seen, [(f"the updates in {_OPTIMIZER}", updates)])
        epoch = seen.found.count if name.lower().startswith("epoch") else None
        return told if epoch is None else replace(told, counters={"epoch": epoch})


def _require_random(seen: Seen) -> None:
    if not _has(seen, _RANDOM.format(0)):
        raise DamagedError(f"no {_RANDOM.format(0)} is in it, which is written after all other state")
    require_closed_zip(seen.folder / seen.found.name / _RANDOM.format(0))


def _require_own(seen: Seen) -> None:
    """Raise DamagedError where an object that programs register is cut, or gone though the checkpoint before has it."""
    before = _before(seen)
    for number in itertools.islice(itertools.count(), _MOST_RANKS):
        file = _OWN.format(number)
        if _has(seen, file):
            require_closed_zip(seen.folder / seen.found.name / file)
        elif before is not None and seen.listing.has(f"{before}/{file}"):
            raise DamagedError(f"no {file} is in it, though {escaped(before)} has one, written last")
        else:
            return


def _before(seen: Seen) -> str | None:
    """Return the folder of the checkpoint before, of the same naming."""
    own = end_number(seen.found.name)
    if own is None:
        return None
    stem = seen.found.name.rstrip("0123456789")
    others = {
        number: name
        for name in seen.listing.folders
        if name.startswith(stem) and name[len(stem) :].isdigit() and (number := end_number(name)) is not None
    }
    return others.get(max((number for number in others if number < own), default=-1))


def _updates(parameters: object) -> int | None:
    states = parameters.values() if isinstance(parameters, dict) else ()
    steps = [as_count(state.get("step")) for state in states if isinstance(state, dict)]
    return max((step for step in steps if step is not None), default=None)


def _has(seen: Seen, name: str) -> bool:
    return seen.listing.has(f"{seen.found.name}/{name}")
