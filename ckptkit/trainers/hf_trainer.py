"""Hugging Face Trainer: ``trainer_state.json`` is written last, and says the step and what was logged.

Source: transformers/trainer.py (``_save_checkpoint``, ``_load_from_checkpoint``), trainer_callback.py
(``TrainerState``).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.layouts.hf_trainer import STATE
from ckptkit.trainers.ends import not_whole
from ckptkit.trainers.interface import Judged, Seen, Told
from ckptkit.trainers.state_files import as_count, as_epoch, json_object, numbers
from ckptkit.trainers.steps import told_step

_INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_WEIGHTS = (
    *("model.safetensors", "pytorch_model.bin", "adapter_model.safetensors", "adapter_model.bin"),
    *("pytorch_model_fsdp_0", "pytorch_model_fsdp.bin"),
)
_OPTIMIZER, _SCHEDULER = ("optimizer.pt", "optimizer.bin"), ("scheduler.pt",)
_SHARDED = ("optimizer_0", "pytorch_model_fsdp_0")
_GENERATORS = ("rng_state.pth", "rng_state_0.pth")
_NO_METRICS = ("step", "epoch", "total_flos", "learning_rate", "grad_norm")
"""Also of what is logged: they tell how it trained, and not how good the model is."""
_SPEEDS = ("runtime", "samples_per_second", "steps_per_second", "tokens_per_second")


@dataclass(frozen=True, slots=True)
class HfTrainer:
    """``transformers.Trainer`` and what is built on it (TRL, PEFT, Sentence Transformers)."""

    kind: str = "hf_trainer"
    title: str = "Hugging Face Trainer"
    item: str = "model"
    resume: Sequence[str] = ("python", "train.py", "--resume_from_checkpoint", "{path}")
    program: str | None = "train.py"

    def judge(self, seen: Seen) -> Judged:
        """Return what the state says; of a folder that is half deleted it is often left."""
        try:
            state = json_object(seen.folder / seen.found.name / STATE)
        except DamagedError as error:
            return not_whole(error, note=", and the Trainer writes it last")
        if as_count(state.get("global_step")) is None:
            return Judged("incomplete", (f"{STATE} holds no global_step",))
        gone = tuple(_gone(seen, f"global_step{state['global_step']}"))
        return Judged("incomplete", gone) if gone else Judged("complete", (f"{STATE}, written last, is there",))

    def told(self, seen: Seen) -> Told:
        """Return step, epoch and the last values that were logged up to it."""
        try:
            state = json_object(seen.folder / seen.found.name / STATE)
        except DamagedError as error:
            told = told_step(seen, ())
            return replace(told, doubts=(*told.doubts, error.message))
        told = told_step(seen, [(f"global_step in {STATE}", state.get("global_step"))])
        epoch = as_epoch(state.get("epoch"))
        return replace(told, counters={} if epoch is None else {"epoch": epoch}, metrics=_logged(state, told.step))


def _gone(seen: Seen, deepspeed: str) -> Iterator[str]:
    """Yield what every finished one has, and this one has not."""
    has = [sign for sign in (*_SHARDED, deepspeed) if _has(seen, sign)]
    indices = [name for name in _INDICES if _has(seen, name)]
    if not has and not indices and not any(_has(seen, name) for name in _WEIGHTS):
        yield "no weights are there (model.safetensors, its shards, or adapter_model.safetensors)"
    for index in indices:
        yield from _shards_gone(seen, index)
    state = {
        "optimizer": has or any(_has(seen, name) for name in _OPTIMIZER),
        "scheduler": deepspeed in has or any(_has(seen, name) for name in _SCHEDULER),
        "state of random generators": any(_has(seen, name) for name in _GENERATORS),
    }
    if any(state.values()):  # else it was told to save the model only
        gone = [name for name, there in state.items() if not there]
        yield from (f"its {name} is not there, though other state of the training is" for name in gone)


def _shards_gone(seen: Seen, index: str) -> Iterator[str]:
    try:
        names = json_object(seen.folder / seen.found.name / index).get("weight_map")
    except DamagedError as error:
        yield error.message
        return
    shards = {name for name in names.values() if isinstance(name, str)} if isinstance(names, dict) else set()
    if not shards:
        yield f"{index} names no shards"
    gone = sorted(name for name in shards if not _has(seen, name))
    if gone:
        more = f", nor are {len(gone) - 1} more" if gone[1:] else ""
        yield f"{escaped(gone[0])}, which {index} names, is not there{more}"


def _has(seen: Seen, name: str) -> bool:
    return seen.listing.has(f"{seen.found.name}/{name}")


def _logged(state: Mapping[str, Any], step: int | None) -> dict[str, float]:
    metrics: dict[str, float] = {}
    history = state.get("log_history")
    for entry in history if isinstance(history, list) else ():
        at = as_count(entry.get("step")) if isinstance(entry, dict) else None
        if at is None or (step is not None and at > step):
            continue
        metrics |= {k: v for k, v in numbers(entry) if k not in _NO_METRICS and not k.endswith(_SPEEDS)}
    return metrics
