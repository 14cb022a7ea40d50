"""Adopting zips that a trainer wrote with ``model.save``: recognised by content, graded by what a zip cannot hold."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ckptkit.backend import CheckContext, SavedItem
from ckptkit.errors import BackendError, DamagedError, InconsistentSetError
from ckptkit.formats import sb3_callback
from ckptkit.layouts import sb3_callback as callback_layout
from ckptkit_sb3 import layout, trainers

_VERSION = "_stable_baselines3_version"
_START = b"data"
"""Name of the first member that ``model.save`` writes, 30 bytes into the file."""


def recognise(path: Path) -> Mapping[str, Path] | None:
    """Return the zip and what lies beside it, or None when the path is not an SB3 zip (or a folder of this backend).

    Beside ``ep000050.zip`` that is ``ep000050_metadata.json``; beside ``rl_model_1000_steps.zip`` (CheckpointCallback)
    ``rl_model_replay_buffer_1000_steps.pkl`` and ``rl_model_vecnormalize_1000_steps.pkl``.
    """
    if (path / layout.STATE).is_file() and (path / layout.MODEL).is_file():
        own = (layout.MODEL, layout.STATE, layout.ARRAYS, layout.REPLAY, layout.ROLLOUT)
        return {name: path / name for name in own if (path / name).is_file()}
    if not path.is_file() or not (_is_agent(path) or _is_cut_agent(path)):
        return None
    files = {path.name: path}
    beside = [f"{path.stem}{layout.METADATA}", *map(layout.Flat(path.parent, path.name).named, layout.BESIDE)]
    beside += callback_layout.names_beside(path.name).values()
    for name in beside:
        if (path.parent / name).is_file():
            files[name] = path.parent / name
    return files


def _is_agent(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    return _VERSION in names or {"data", "policy.pth"} <= names


def _is_cut_agent(path: Path) -> bool:
    """Return whether a zip without its directory begins as ``model.save`` begins one, or is named as by its callback.

    The directory is at the end, so that is what a file loses first; the check will say so. ``zipfile`` may find that of
    a ``.pth`` in it instead.
    """
    if path.suffix != ".zip":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            if any(member.header_offset == 0 for member in archive.infolist()):
                return False
    except (OSError, ValueError, zipfile.BadZipFile):
        pass
    try:
        with path.open("rb") as stream:
            start = stream.read(len(_START) + 30)
    except OSError:
        return False
    begins = start.startswith(b"PK\x03\x04") and start[30:] == _START
    return begins or (not start.strip(b"\0") and callback_layout.step_of(path.name) is not None)


def describe(directory: Path, context: CheckContext) -> SavedItem:
    """Return what the zip says of itself.

    Raises:
        BackendError: the metadata beside it belongs to another episode.
        DamagedError: it cannot be read, or the callback that writes it is not done.
        InconsistentSetError: it is of other steps than its name says.
    """
    name = layout.zip_name(directory, context)
    path = directory / name
    place = layout.place(directory, context)
    state = layout.read_state(place)
    if state is not None:
        own = _describe_own(state, name)
        return own if place is directory else _with_noted(own, directory, name)
    if not _is_agent(path):
        what = "is cut short: it begins as a zip, whose directory is not there" if path.stat().st_size else "is empty"
        raise DamagedError(f"{name}: {what}", hint="write it again with model.save")
    try:
        data = layout.all_data(path)
        there = trainers.names(path, data, context.files or [name])
    except (DamagedError, OSError, KeyError, zipfile.BadZipFile, json.JSONDecodeError) as error:
        raise DamagedError(
            f"{name}: not a readable SB3 zip ({error})", hint="write it again with model.save"
        ) from error
    counters = {"num_timesteps": data["num_timesteps"]} if layout.is_count(data.get("num_timesteps")) else {}
    metadata: dict[str, Any] = {"captured": False, "zip": name}
    noted = layout.noted_beside(directory, f"{path.stem}{layout.METADATA}")
    episode: Any = noted.get("episode", data.get("_episode_num") or None)
    if layout.is_count(episode):
        counters["episode"] = int(episode)
    _require_match(directory, name)
    for key in ("run_id", "timestamp", "config"):
        if key in noted:
            metadata[key] = noted[key]
    metadata["algorithm_hint"] = data.get("policy_class", {}).get("__module__") if data.get("policy_class") else None
    if context.source is not None:
        sb3_callback.require_finished(context.source)
    return SavedItem(
        metadata=metadata,
        step=_named_step(context, data),
        counters=counters,
        captured=trainers.ZIP.captured(there),
        hazards=trainers.hazards(data, context.files),
    )


def _named_step(context: CheckContext, data: Mapping[str, Any]) -> int | None:
    """Return the steps in the name that ``CheckpointCallback`` gave the zip: it names its files by ``num_timesteps``.

    Raises:
        InconsistentSetError: the zip is of other steps.
    """
    steps = None if context.source is None else callback_layout.step_of(context.source.name)
    if steps is None or context.source is None:
        return None
    inside = data.get("num_timesteps")
    if layout.is_count(inside) and inside != steps:
        raise InconsistentSetError(f"{context.source.name}: its num_timesteps is {inside}, its name says {steps}")
    return steps


def _describe_own(state: Mapping[str, Any], name: str) -> SavedItem:
    try:
        captured = layout.captured_of(state)
        counters = {str(k): int(v) for k, v in state["counters"].items()}
        metadata = {"captured": True, "zip": name, "algorithm": state["agent"]["algorithm"]}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BackendError(f"{layout.STATE}: does not describe an agent ({error})") from error
    return SavedItem(metadata=metadata, counters=counters, captured=captured)


def _with_noted(own: SavedItem, directory: Path, name: str) -> SavedItem:
    _require_match(directory, name)
    noted = layout.noted_beside(directory, f"{Path(name).stem}{layout.METADATA}")
    episode = noted.get("episode", own.counters.get("episode"))
    if episode != own.counters.get("episode", episode):
        raise BackendError(
            f"{name}: the metadata beside it says episode {episode}, the state {own.counters['episode']}",
            hint="the metadata belongs to another zip: rename or remove it",
        )
    known: dict[str, Any] = {key: noted[key] for key in ("run_id", "timestamp", "config") if key in noted}
    return replace(own, metadata={**own.metadata, **known})


def _require_match(directory: Path, name: str) -> None:
    mismatch = layout.episode_mismatch(directory, name)
    if mismatch is not None:
        raise BackendError(mismatch, hint="the metadata belongs to another zip: rename or remove it")
