"""The step that each file of an item believes it is at: pieces of different moments are refused, or reported.

Only quantities that count the same thing are compared: *steps* of the trainer, with each other; *updates* that
optimizer and scheduler have made, with each other and, where the trainer makes one at each step, with its steps. A
schedule by the epoch, gradient accumulation, a counter of saves and an optimizer that skips steps (fp16) do not count
as disagreement.

Source: transformers/trainer.py, lerobot/utils/train_utils.py, accelerate/scheduler.py, lightning
(``dump_checkpoint``), torch/optim (``state[...]["step"]``, ``LRScheduler.last_epoch``).
"""

import json
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ckptkit.errors import DamagedError, InconsistentSetError
from ckptkit.formats.named_steps import named_step
from ckptkit.formats.safetensors_header import read_header
from ckptkit.formats.torch_values import torch_table
from ckptkit.formats.whole_files import newest_inside, steps_of_file
from ckptkit.layouts import deepspeed, hf_trainer, lerobot

_HUGGING_FACE = hf_trainer.STATE
_LEROBOT = f"{lerobot.STATE}/training_step.json"
_LEROBOT_SCHEDULER = f"{lerobot.STATE}/scheduler_state.json"
_COUNTED = {_HUGGING_FACE: "global_step", _LEROBOT: "step"}
_TAG = re.compile(r"global_step(\d{1,18})")
_FORMS = {"F32": "<f", "F64": "<d", "I64": "<q", "I32": "<i"}
_SCALES = "scaler.pt"


@dataclass(frozen=True, slots=True)
class Moments:
    """What the files of an item say.

    Attributes:
        step: the step that all of them give; None if none gives one.
        doubts: one line each: what does not fit, but may have a good reason.
    """

    step: int | None
    doubts: Sequence[str] = ()


def moments(
    directory: Path, files: Sequence[str], source: Path | None, own: Mapping[str, int] | None = None
) -> Moments:
    """Return the step that an item's files are at.

    Args:
        directory: the item's folder.
        files: names relative to it.
        source: where they were adopted from: its name may give a step.
        own: further places that give the step, with that step.

    Raises:
        InconsistentSetError: they are of different moments.
        DamagedError: a file that gives the step cannot be read.
    """
    steps = {} if source is None else named_step(source, files)
    steps |= {name: _count(directory / name, field) for name, field in _COUNTED.items() if name in files}
    steps |= own or {}
    if source is not None and len(files) == 1 and not source.is_dir():
        steps |= steps_of_file(directory / files[0], source.name)
    step = _agreed(steps)
    if step is None and source is not None and source.is_dir():
        step = newest_inside(directory, files)
    if step is not None and _HUGGING_FACE in files:
        return Moments(step, _hugging_face(directory, files, step))
    if step is not None and _LEROBOT in files:
        _lerobot(directory, files, step)
    return Moments(step, _accelerate(directory, files))


def _count(path: Path, field: str) -> int:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedError(f"{path.name}: cannot be read as JSON") from error
    value = content.get(field) if isinstance(content, dict) else None
    if type(value) is not int or value < 0:
        raise DamagedError(f"{path.name}: has no count {field!r}")
    return value


def _agreed(steps: Mapping[str, int]) -> int | None:
    if len(set(steps.values())) > 1:
        places = ", ".join(f"{place} says {step}" for place, step in steps.items())
        raise InconsistentSetError(f"the files do not agree on the step: {places}")
    return next(iter(steps.values()), None)


def _hugging_face(directory: Path, files: Sequence[str], step: int) -> list[str]:
    """Return doubts about what does not fit the Trainer's step, as after a Trainer continued without an optimizer.

    Raises:
        InconsistentSetError: either optimizer or scheduler lags behind, and the other does not.
    """
    updates = {
        name: _optimizer(torch_table(directory / name)) for name in files if name in ("optimizer.pt", "optimizer.bin")
    }
    if "scheduler.pt" in files:
        ranks = max(1, sum(fnmatchcase(name, "rng_state_*.pth") for name in files))
        planned = _scheduler(torch_table(directory / "scheduler.pt"))
        updates["scheduler.pt"] = step if planned == step * ranks else planned  # each process steps it
    known = {place: count for place, count in updates.items() if count is not None}
    if len(set(known.values())) > 1 and min(known.values()) < step:
        raise _of_different_moments(known, step)
    if _SCALES in files:  # fp16 skips steps, and the scheduler with it
        known = {place: count for place, count in known.items() if count > step}
    pointed = (directory / deepspeed.POINTER).read_text(errors="replace") if deepspeed.POINTER in files else ""
    if tag := _TAG.fullmatch(pointed.strip()):
        known[f"DeepSpeed's {tag[0]}"] = int(tag[1])
    return [
        f"{place} is at step {count}, the trainer at {step}: from another moment, or counting earlier training too"
        for place, count in known.items()
        if count != step
    ]


def _lerobot(directory: Path, files: Sequence[str], step: int) -> None:
    """Raise InconsistentSetError if optimizer or scheduler is not at LeRobot's step: it resumes all or nothing."""
    names = [name for name in files if fnmatchcase(name, f"{lerobot.STATE}/*optimizer_state.safetensors")]
    updates = {name: _most(_numbers(directory / name)) for name in names}
    if _LEROBOT_SCHEDULER in files:
        planned = _scheduler(_json(directory / _LEROBOT_SCHEDULER))
        by_each = planned is not None and step > 0 and planned > 0 and planned % step == 0  # each process steps it
        updates[_LEROBOT_SCHEDULER] = step if by_each else planned
    skips = _half(directory, files)
    wrong = {p: n for p, n in updates.items() if n is not None and n != step and not (skips and n < step)}
    if wrong:
        raise _of_different_moments(wrong, step)


def _of_different_moments(counts: Mapping[str, int], step: int) -> InconsistentSetError:
    places = ", ".join(f"{place} is at {count}" for place, count in counts.items())
    return InconsistentSetError(f"the files are of different moments: {places}, the trainer at {step}")


def _accelerate(directory: Path, files: Sequence[str]) -> list[str]:
    """Return a doubt if a scheduler has seen more steps than its optimizer and the processes explain."""
    if not {"optimizer.bin", "scheduler.bin"} <= set(files):
        return []
    made, planned = (
        _optimizer(torch_table(directory / "optimizer.bin")),
        _scheduler(torch_table(directory / "scheduler.bin")),
    )
    ranks = max(1, sum(fnmatchcase(name, "random_states_*.pkl") for name in files))
    if made is None or planned is None or planned <= made * ranks:
        return []
    return [f"scheduler.bin is at step {planned}, optimizer.bin at {made}: they may be from different moments"]


def _half(directory: Path, files: Sequence[str]) -> bool:
    """Return whether LeRobot trained with automatic mixed precision: its optimizer may skip steps."""
    name = f"{lerobot.MODEL}/train_config.json"
    policy = _json(directory / name).get("policy") if name in files else None
    return isinstance(policy, dict) and policy.get("use_amp") is True


def _optimizer(state: Mapping[Any, Any]) -> int | None:
    """Return the most updates that any parameter has seen: frozen and rarely used ones see fewer."""
    parameters = state.get("state")
    values = parameters.values() if isinstance(parameters, dict) else ()
    return _most(value.get("step") for value in values if isinstance(value, dict))


def _scheduler(state: Mapping[Any, Any]) -> int | None:
    """Return how often a scheduler has stepped; one that waits for a plateau counts evaluations."""
    count = state.get("last_epoch")
    return count if type(count) is int and "num_bad_epochs" not in state else None


def _most(numbers: Iterable[object]) -> int | None:
    whole = [int(n) for n in numbers if isinstance(n, (int, float)) and not isinstance(n, bool) and n == n // 1]
    return max(whole, default=None)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}  # the check says it
    return value if isinstance(value, dict) else {}


def _numbers(path: Path) -> list[float]:
    """Return the values of the scalar tensors named ``.../step`` of a safetensors file."""
    try:
        header = read_header(path)
        size = header.size - max((info.end for info in header.tensors.values()), default=0)
        found = []
        with path.open("rb") as stream:
            for name, info in header.tensors.items():
                if name.endswith("/step") and info.dtype in _FORMS and info.shape in ((), (1,)):
                    stream.seek(size + info.begin)
                    found.append(struct.unpack(_FORMS[info.dtype], stream.read(info.end - info.begin))[0])
    except (DamagedError, OSError, struct.error):
        return []  # the check says it
    return found
