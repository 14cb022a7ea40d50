"""Writes the parts of a captured item into files, and takes the digest of each from the writing."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckptkit.backend import SaveContext
from ckptkit.formats import strict_json
from ckptkit_safetensors import grading, layouts, states, tensor_file
from ckptkit_safetensors.capture import Snapshot


@dataclass(frozen=True, slots=True)
class Written:
    """The files of an item.

    Attributes:
        components: part -> name of its file.
        digests: part -> digest of its file, where that was taken.
    """

    components: Mapping[str, str]
    digests: Mapping[str, str]


def write(captured: Snapshot, directory: Path, context: SaveContext) -> Written:
    """Write all files into the folder; the record, which names them, last but for the model.

    Raises:
        BackendError: something cannot be saved exactly.
        OSError: a file cannot be written.
    """
    sets = {"ema": captured.ema, "gradients": captured.gradients}
    if captured.modules is not None and captured.modules.tensors.tensors:
        sets["module_tensors"] = captured.modules.tensors
    present = ["model", *(name for name, part in sets.items() if part is not None), *captured.states, *captured.configs]
    components = {part: layouts.FILES[part] for part in present}
    digests: dict[str, str | None] = {}
    for part, value in captured.configs.items():
        # No newline at the end: without the last byte it must not be JSON any more.
        _put(directory / components[part], strict_json.dumps(value, indent=2), context)
    for part, state in captured.states.items():
        digests[part] = states.write(directory / components[part], state, part, create=context.create)
    for part, values in sets.items():
        if values is not None:
            digests[part] = tensor_file.write(directory / components[part], values, create=context.create)
    if captured.example is not None:
        components["probe_input"] = layouts.PROBE_INPUT
        tensor_file.write(directory / layouts.PROBE_INPUT, captured.example, create=context.create)
    if captured.modules is not None:
        components["modules"] = layouts.FILES["modules"]
        _put(directory / components["modules"], strict_json.dumps(captured.modules.record), context)
    _put(directory / layouts.RECORD, strict_json.dumps(_record(captured, components, context.step)), context)
    model = directory / layouts.MODEL
    digests["model"] = tensor_file.write(model, captured.model, layouts.NOTE_OF_MODEL, create=context.create)
    return Written(components, {part: digest for part, digest in digests.items() if digest is not None})


def _record(captured: Snapshot, components: Mapping[str, str], step: int) -> dict[str, Any]:
    record = {**captured.record, "step": step, "components": components}
    if (found := grading.grade(captured)).grade != "complete":
        record["captured"] = {"grade": found.grade, "reasons": list(found.reasons)}
    return record


def _put(path: Path, data: bytes, context: SaveContext) -> None:
    with context.create(path) as stream:
        stream.write(data)
