"""Hugging Face Trainer: ``trainer_state.json`` is written last, and says the step and what was logged.

Source: transformers/trainer.py (``_save_checkpoint``, ``_load_from_checkpoint``), trainer_callback.py
(``TrainerState``).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ckptkit.errors import DamagedError
from ckptkit.formats.pickle_values import Instance
from ckptkit.formats.torch_values import torch_value
from ckptkit.layouts.hf_trainer import STATE
from ckptkit.trainers.earlier import gone_since
from ckptkit.trainers.ends import first_bytes, not_whole, require_closed_zip
from ckptkit.trainers.interface import NO_PROGRAM, Judged, Resuming, Seen, Told
from ckptkit.trainers.shards import INDICES, shards_gone
from ckptkit.trainers.state_files import as_count, as_epoch, json_object, numbers
from ckptkit.trainers.steps import told_step

_WEIGHTS = (
    *("model.safetensors", "pytorch_model.bin", "adapter_model.safetensors", "adapter_model.bin"),
    *("pytorch_model_fsdp_0", "pytorch_model_fsdp.bin"),
)
_ARGUMENTS = "training_args.bin"
_OPTIMIZER, _SCHEDULER = ("optimizer.pt", "optimizer.bin"), ("scheduler.pt",)
_SHARDED = ("optimizer_0", "pytorch_model_fsdp_0")
_GENERATORS = ("rng_state.pth", "rng_state_0.pth")
_ARGUMENTS, _OLD_TORCH = "training_args.bin", b"\x80\x02"
_EACH_TIME = re.compile(r"training_args\.bin|scaler\.pt|((adapter|tokenizer)_)?config\.json")
_NO_METRICS = ("step", "epoch", "total_flos", "learning_rate", "grad_norm")
"""Also of what is logged: they tell how it trained, and not how good the model is."""
_SPEEDS = ("runtime", "samples_per_second", "steps_per_second", "tokens_per_second")
_RESUMING = Resuming((("python", "train.py", "--resume_from_checkpoint", "{path}"),), NO_PROGRAM)


@dataclass(frozen=True, slots=True)
class HfTrainer:
    """``transformers.Trainer`` and what is built on it (TRL, PEFT, Sentence Transformers)."""

    kind: str = "hf_trainer"
    title: str = "Hugging Face Trainer"
    item: str = "model"
    resuming: Resuming = _RESUMING

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
        counters = {} if epoch is None else {"epoch": epoch}
        return replace(told, counters=counters, metrics=_logged(state, told.step), best=_best(seen))


def _gone(seen: Seen, deepspeed: str) -> Iterator[str]:
    """Yield what every finished one has, and this one has not."""
    has = [sign for sign in (*_SHARDED, deepspeed) if _has(seen, sign)]
    indices = [name for name in INDICES if _has(seen, name)]
    if not has and not indices and not any(_has(seen, name) for name in _WEIGHTS):
        yield "no weights are there (model.safetensors, its shards, or adapter_model.safetensors)"
    for index in indices:
        yield from shards_gone(seen, index)
    state = {
        "optimizer": has or any(_has(seen, name) for name in _OPTIMIZER),
        "scheduler": deepspeed in has or any(_has(seen, name) for name in _SCHEDULER),
        "state of random generators": any(_has(seen, name) for name in _GENERATORS),
    }
    if any(state.values()):  # else it was told to save the model only
        gone = [name for name, there in state.items() if not there]
        yield from (f"its {name} is not there, though other state of the training is" for name in gone)
    if _has(seen, _ARGUMENTS):
        yield from _cut(seen)
    yield from gone_since(seen, _EACH_TIME)


def _cut(seen: Seen) -> Iterator[str]:
    path = seen.folder / seen.found.name / _ARGUMENTS
    try:
        if not first_bytes(path).startswith(_OLD_TORCH):
            require_closed_zip(path)
    except DamagedError as error:
        yield error.message


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


def _best(seen: Seen) -> tuple[str, Literal["min", "max"]] | None:
    """Return what ``metric_for_best_model`` and ``greater_is_better`` say; nothing is unpickled."""
    try:
        arguments = torch_value(seen.folder / seen.found.name / _ARGUMENTS)
    except DamagedError:  # its own check tells
        return None
    match arguments.state if isinstance(arguments, Instance) else None:
        case {"metric_for_best_model": str(metric), "greater_is_better": bool(greater)} if metric:
            # The Trainer itself logs what it evaluates with this in front.
            name = metric if metric.startswith("eval_") else f"eval_{metric}"
            return name, "max" if greater else "min"
    return None
