"""Accelerate: no file is the last for sure, but the random states come after weights, optimizers and schedulers.

The ``step`` in them is no training step: it counts the batches of an accumulation, and begins again with each epoch.

Source: accelerate/checkpointing.py (``save_accelerator_state``), accelerator.py (``save_state``, ``_do_sync``).
"""

import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ckptkit.errors import DamagedError
from ckptkit.formats.torch_values import torch_table
from ckptkit.trainers.earlier import gone_since
from ckptkit.trainers.ends import not_whole, require_closed_zip
from ckptkit.trainers.interface import NO_PROGRAM, Judged, Resuming, Seen, Told
from ckptkit.trainers.shards import INDICES, shards_gone
from ckptkit.trainers.state_files import as_count
from ckptkit.trainers.steps import told_step

_RANDOM, _OWN, _OPTIMIZER = "random_states_0.pkl", "custom_checkpoint_{}.pkl", "optimizer.bin"
_WEIGHTS = re.compile(r".+\.safetensors|pytorch_model.*|model.*\.bin")
_EACH_TIME = re.compile(
    r"(optimizer|scheduler|sampler|dl_state_dict)(_\d+)?(\.bin)?|scaler\.pt|(random_states|custom_checkpoint)_\d+\.pkl"
    r"|model_\d+\.safetensors|pytorch_model(_fsdp)?_\d+(\.bin)?"
)
_RESUMING = Resuming((("accelerate", "launch", "train.py", "--resume_from_checkpoint", "{path}"),), NO_PROGRAM)


@dataclass(frozen=True, slots=True)
class Accelerate:
    """``Accelerator.save_state``; its examples all know ``--resume_from_checkpoint``."""

    kind: str = "accelerate"
    title: str = "Accelerate"
    item: str = "model"
    resuming: Resuming = _RESUMING

    def judge(self, seen: Seen) -> Judged:
        """Return whether the random states are there, what is written after them, and the weights."""
        try:
            _require_random(seen)
            _require_own(seen)
        except DamagedError as error:
            return not_whole(error)
        if gone := tuple(_gone(seen)):
            return Judged("incomplete", gone)
        return Judged("complete", (f"{_RANDOM}, written after all other state, is there",))

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
    if not _has(seen, _RANDOM):
        raise DamagedError(f"no {_RANDOM} is in it, which is written after all other state")
    require_closed_zip(seen.folder / seen.found.name / _RANDOM)


def _require_own(seen: Seen) -> None:
    """Raise DamagedError where an object that programs register is cut; those come last."""
    for number in itertools.count():
        if not _has(seen, file := _OWN.format(number)):
            return
        require_closed_zip(seen.folder / seen.found.name / file)


def _gone(seen: Seen) -> Iterator[str]:
    """Yield what every finished one has, or what the one before has, and this one has not."""
    indices = [name for name in INDICES if _has(seen, name)]
    for index in indices:
        yield from shards_gone(seen, index)
    if not indices and not _has_weights(seen.folder / seen.found.name):
        yield "no weights are there (model.safetensors, its shards, or a folder of FSDP or DeepSpeed)"
    yield from gone_since(seen, _EACH_TIME)


def _has_weights(folder: Path) -> bool:
    """Return whether some are there; a hook may save them in a folder of its own, as those of diffusers do."""
    try:
        with os.scandir(folder) as entries:
            return any(entry.is_dir() or _WEIGHTS.fullmatch(entry.name) for entry in entries)
    except OSError:
        return False


def _updates(parameters: object) -> int | None:
    states = parameters.values() if isinstance(parameters, dict) else ()
    steps = [as_count(state.get("step")) for state in states if isinstance(state, dict)]
    return max((step for step in steps if step is not None), default=None)


def _has(seen: Seen, name: str) -> bool:
    return seen.listing.has(f"{seen.found.name}/{name}")
