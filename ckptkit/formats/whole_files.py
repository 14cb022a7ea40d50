"""At which step a file is that is a whole checkpoint, and a folder of such: that of the newest in it.

Source: lightning (``dump_checkpoint``), stable_baselines3/common/save_util.py (``save_to_zip_file``), callbacks.py
(``CheckpointCallback`` names its zips by ``num_timesteps``).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from ckptkit.errors import DamagedError, InconsistentSetError
from ckptkit.formats.torch_values import torch_table
from ckptkit.formats.zips import read_member
from ckptkit.layouts import lightning
from ckptkit.layouts.trainers import step_of_file, step_of_folder

_MOST_DATA = 64 << 20
_WEIGHTS = (".bin", ".ckpt", ".h5", ".keras", ".npz", ".pt", ".pth", ".safetensors", ".zip")


def steps_of_file(path: Path, name: str) -> dict[str, int]:
    """Return the step that the content of a checkpoint gives, by the place of it in the file; empty where none does.

    An SB3 zip counts steps of the environment: only the name that its callback gives promises the same count.

    Args:
        path: the file.
        name: what it is called.

    Raises:
        InconsistentSetError: it is of another epoch than its name says.
    """
    if name.endswith(lightning.SUFFIX):
        return _lightning(path, name)
    steps = _timesteps(path) if name.endswith(".zip") and step_of_file(name) is not None else None
    return {} if steps is None else {"num_timesteps in it": steps}


def newest_inside(directory: Path, files: Sequence[str]) -> int | None:
    """Return the step of the newest of the checkpoints in a folder.

    None where there is none; and where weights of unknown step lie among them, which may be newer.

    Raises:
        InconsistentSetError: one of them is of another step than its name says.
    """
    steps: list[int] = []
    unnamed = []
    for name, inside in _parts(files).items():
        step = step_of_folder(name, inside) if inside else _step_of(directory / name, name)
        if step is not None:
            steps.append(step)
        elif any(file.endswith(_WEIGHTS) for file in inside or [name]):
            unnamed.append(name)
    beside = [_timesteps(directory / name) if steps and name.endswith(".zip") else None for name in unnamed]
    known = [step for step in beside if step is not None]
    return None if len(known) < len(beside) else max(steps + known, default=None)


def _parts(files: Sequence[str]) -> Mapping[str, list[str]]:
    """Return the checkpoints that lie in a folder of their own, with the names in it, and all other files."""
    folders: dict[str, list[str]] = {}
    for name in files:
        for folder in PurePosixPath(name).parents[:-1]:
            folders.setdefault(f"{folder}", []).append(name.removeprefix(f"{folder}/"))
    own = {name: inside for name, inside in folders.items() if step_of_folder(name, inside) is not None}
    parts: dict[str, list[str]] = {}
    for name in files:
        around = [f"{folder}" for folder in PurePosixPath(name).parents[:-1] if f"{folder}" in own]
        part = around[-1] if around else name
        parts[part] = own.get(part, [])
    return parts


def _step_of(path: Path, name: str) -> int | None:
    file = name.rpartition("/")[2]
    named, found = step_of_file(file), steps_of_file(path, file)
    for place, step in found.items():
        if named not in (None, step):
            raise InconsistentSetError(
                f"the files do not agree on the step: {name!r} says {named}, {place} says {step}"
            )
        return step
    return named


def _lightning(path: Path, name: str) -> dict[str, int]:
    content = torch_table(path)
    if "pytorch-lightning_version" not in content:
        return {}
    named, epoch = lightning.epoch_of(name), content.get("epoch")
    if named is not None and type(epoch) is int and named != epoch:
        raise InconsistentSetError(f"{name}: is of epoch {epoch}, its name says {named}")
    step = content.get("global_step")
    return {"global_step in it": step} if type(step) is int else {}


def _timesteps(path: Path) -> int | None:
    """Return the ``num_timesteps`` of an SB3 zip; None where it is none, or cannot be read: its check says so."""
    try:
        content = json.loads(read_member(path, "data", max_bytes=_MOST_DATA))
    except (DamagedError, ValueError, RecursionError):
        return None
    step = content.get("num_timesteps") if isinstance(content, dict) else None
    return step if type(step) is int else None
