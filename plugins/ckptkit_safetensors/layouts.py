"""Which file of a folder holds which part of a policy: our own files, a seed trainer's, Hugging Face's, LeRobot's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit.formats import strict_json

MODEL = "policy.safetensors"
RECORD = "policy_record.json"
"""What the item is: kind, classes, step, files of its parts. Up to format 2 the header of the model said so."""
NOTE_OF_MODEL = {"record": RECORD}
"""What the header of the model says beside what every file of tensors says of itself."""
PROBE_INPUT = "probe_input.safetensors"
FILES = {
    "model": MODEL,
    "ema": "ema.safetensors",
    "gradients": "gradients.safetensors",
    "optimizer": "optimizer_state.pth",
    "scheduler": "scheduler_state.pth",
    "scaler": "scaler_state.pth",
    "preprocessor": "preprocessor_config.json",
    "postprocessor": "postprocessor_config.json",
    "extra": "extra.json",
    "modules": "module_state.json",
    "module_tensors": "module_state.safetensors",
}
"""The names that ``save`` gives: those of the seed's ``checkpoint-N/``, and more of the same style."""

MODULES_DEPTH = 64
"""Of the JSON of modules: each list of lists of the live object is a few levels there."""

INDEX = "model.safetensors.index.json"
IN_LEROBOT = "pretrained_model/model.safetensors"
MODELS = (MODEL, "model.safetensors", INDEX, IN_LEROBOT)
FOREIGN = {
    "optimizer": ("optimizer.pt", "optimizer.bin"),
    "scheduler": ("scheduler.pt", "scheduler.bin"),
    "scaler": ("scaler.pt",),
    "preprocessor": ("policy_preprocessor.json",),
    "postprocessor": ("policy_postprocessor.json",),
}
"""What the Trainer and LeRobot call them, and accelerate (``.bin``)."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The parts found among an item's files.

    Attributes:
        model: the safetensors files of the model, more than one if it is sharded.
        index: the index of the shards.
        parts: part -> file, for all other parts.
    """

    model: Sequence[str]
    index: str | None
    parts: Mapping[str, str]

    def components(self) -> dict[str, str]:
        """Return part -> file, the model first (for a sharded one: its index)."""
        return {"model": self.index or self.model[0], **self.parts}

    def files(self) -> list[str]:
        """Return all files of the parts: what a load reads."""
        return [*self.model, *([self.index] if self.index else []), *self.parts.values()]


def model_file(files: Sequence[str]) -> str | None:
    """Return the file of the model (or the index of its shards) among the names, or None if that is not clear."""
    for name in MODELS:
        if name in files:
            return name
    parts = {*FILES.values(), PROBE_INPUT}
    other = [n for n in files if n.endswith(".safetensors") and "/" not in n and n not in parts]
    return other[0] if len(other) == 1 else None


def find(directory: Path, files: Sequence[str]) -> Layout:
    """Find the parts among the item's files.

    Raises:
        DamagedError: there is no model, or the index of its shards cannot be read.
    """
    model = model_file(files)
    if model is None:
        raise DamagedError(f"{directory.name}: no {MODEL}, model.safetensors or other single .safetensors file")
    prefix = model.rpartition("/")[0]
    prefix = f"{prefix}/" if prefix else ""
    # FSDP gathers an optimizer under names instead of numbers: only it can load that.
    sharded = any(name.startswith("pytorch_model_fsdp") for name in files)
    parts = {}
    for part, own in FILES.items():
        for name in (own, *(f"{prefix}{other}" for other in FOREIGN.get(part, ()))):
            if part != "model" and name in files and name != model and not (sharded and name.endswith(".bin")):
                parts[part] = name
                break
    if model == INDEX:
        return Layout(sorted(set(shards(directory / INDEX).values())), INDEX, parts)
    return Layout([model], None, parts)


def shards(index: Path) -> dict[str, str]:
    """Return tensor name -> shard file of an index of shards; raises DamagedError for anything else."""
    content: Any = strict_json.load(index)
    weights = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not weights:
        raise DamagedError(f"{index.name}: has no weight_map")
    for shard in weights.values():
        if not isinstance(shard, str) or "/" in shard or "\\" in shard or not shard.endswith(".safetensors"):
            raise DamagedError(f"{index.name}: names a shard that is not a .safetensors file beside it")
    return weights
