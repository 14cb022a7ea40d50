"""Adopts what trainers already wrote: a `checkpoint-N/` folder, a Hugging Face or LeRobot folder, one file."""

import re
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from ckptkit.backend import Captured, CheckContext, SavedItem
from ckptkit.errors import DamagedError
from ckptkit.formats import given_folder
from ckptkit.formats.moments import moments
from ckptkit.formats.safetensors_header import read_header
from ckptkit.pieces import trainer_of
from ckptkit_safetensors import best, item_record, layouts, trainers

_STEP = re.compile(r"(?:^|[^a-z])(?:checkpoint|ckpt|(?:global[-_]?)?steps?|iter(?:ation)?)[-_=]?(\d{1,18})$", re.I)


def recognise(path: Path) -> Mapping[str, Path] | None:
    """Return the files of the item at the path (relative name -> source), or None if it is not of this kind.

    Of a folder that is every file below it, but for the checkpoints in it that are somebody's own.
    """
    if path.is_file():
        return {path.name: path} if _looks_right(path) else None
    if not path.is_dir() or not _holds_a_model(path):
        return None
    others = tuple(f"{entry.name}/" for entry in path.iterdir() if entry.is_dir() and _is_a_checkpoint(entry))
    return {name: file for name, file in given_folder.look(path).files.items() if not name.startswith(others)}


def _looks_right(path: Path) -> bool:
    """Return whether a file of that name begins as one should, or is cut off before that: the check will say so."""
    if path.suffix != ".safetensors":
        return False
    with path.open("rb") as stream:
        start = stream.read(9)
    return len(start) < 9 or start[8:] == b"{"


def _holds_a_model(folder: Path) -> bool:
    names = [entry.name for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith(".")]
    inside = folder / "pretrained_model" / "model.safetensors"
    return layouts.model_file([*names, *([layouts.IN_LEROBOT] if inside.is_file() else [])]) is not None


def _is_a_checkpoint(folder: Path) -> bool:
    """Return whether a subfolder is a checkpoint of its own: the folder of a whole training has both."""
    named = _STEP.search(folder.name) is not None
    return named and any((folder / name).is_file() for name in (best.STATE, *layouts.MODELS))


def describe(directory: Path, context: CheckContext) -> SavedItem:
    """Return what the files say of themselves.

    Raises:
        DamagedError: the model's header cannot be read.
        InconsistentSetError: the name of the folder and the files in it are of different moments.
    """
    layout = layouts.find(directory, context.files)
    dtypes: dict[str, int] = {}
    tensors = elements = 0
    record: dict[str, Any] = {}
    if missing := [name for name in layout.model if name not in context.files]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DamagedError(
            f"{missing[0]}{more}: missing, though {layout.index} names {'them' if more else 'it'}",
            hint="save when the trainer has written all shards, or fetch the missing ones",
        )
    for name in layout.model:
        try:
            header = read_header(directory / name)
            record = record or item_record.of_tensors(header.metadata)
        except DamagedError as error:
            raise DamagedError(f"{name}: {error}") from error
        for info in header.tensors.values():
            tensors, elements = tensors + 1, elements + prod(info.shape)
            dtypes[info.dtype] = dtypes.get(info.dtype, 0) + 1
    record = item_record.of_item(directory, context.files, record)
    metadata: dict[str, Any] = {"components": layout.components(), "tensors": tensors, "elements": elements}
    metadata["dtypes"] = dtypes
    metadata |= {key: value for key, value in record.items() if key in item_record.NOTED_CLASSES}
    own = {record.get("record", layouts.MODEL): record["step"]} if type(record.get("step")) is int else {}
    at = moments(directory, context.files, context.source, own)
    place, gone = best.look(directory, context)
    hazards = [*_hazards(layout, context, record), *gone]
    return SavedItem(
        metadata | place,
        step=at.step,
        captured=_captured(directory, layout, context, record).doubted(at.doubts),
        hazards=hazards,
    )


def _captured(directory: Path, layout: layouts.Layout, context: CheckContext, record: Mapping[str, Any]) -> Captured:
    """Return how much is there: of our own files by our own record, else by what the trainer needs."""
    if record:
        return _own(layout, record)
    there = trainers.names(directory, context.files)
    trainer = trainer_of(trainers.TRAINERS, there)
    if trainer is None:
        return Captured()
    trainer.require_finished(there)
    return trainer.captured(there)


def _own(layout: layouts.Layout, record: Mapping[str, Any]) -> Captured:
    if "captured" in record:
        return Captured.read(**record["captured"])
    if record.get("kind") == "tensors" or {"optimizer", "modules"} <= layout.parts.keys():
        return Captured()
    if "optimizer" not in layout.parts:
        return Captured("weights-only", ["the item has no optimizer"])
    return Captured("partial", ["what modules hold beside parameters and buffers: format 1 did not save it"])


def _hazards(layout: layouts.Layout, context: CheckContext, record: Mapping[str, Any]) -> list[str]:
    hazards = []
    if best.STATE in context.files and not record:
        hazards.append(
            "the data position is a count of steps: what a data loader drew, buffered or streamed is not here"
        )
    if "optimizer" in layout.parts and not record:
        hazards.append("the class of the optimizer was not recorded: a load can only compare shapes and options")
    if "adapter_config.json" in context.files:
        hazards.append("only an adapter is here: the model that it was trained on must be the same")
    return hazards
