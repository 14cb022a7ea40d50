"""A LeRobot dataset (v2.1 or v3.0) in memory: frames, statistics, batches of states with the actions that follow."""

import hashlib
import json
import os
import re
import runpy
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from ckptkit_data.episodes import Episode, read_episodes
from ckptkit_data.findings import Findings
from ckptkit_data.layout import inside, read_info
from torch.utils.data import DataLoader, Dataset

from ckptkit import DamagedError, NotFoundError, UsageError

STATE, ACTION = "observation.state", "action"
_MAKER = Path(__file__).resolve().parents[1] / "make_dataset.py"
_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


@dataclass(frozen=True)
class Frames:
    """The frames that are trained on.

    Attributes:
        states: float32 of shape (frames, state values).
        actions: float32 of shape (frames, action values).
        last: for each frame the place of the last frame of its episode, int64 of shape (frames,).
        fps: frames per second.
        robot: `robot_type` of the metadata; for a dataset made here the name of the environment.
    """

    states: torch.Tensor
    actions: torch.Tensor
    last: torch.Tensor
    fps: float
    robot: str

    @property
    def digest(self) -> str:
        """Digest of all that training sees."""
        hasher = hashlib.sha256()
        for tensor in (self.states, self.actions, self.last):
            hasher.update(str(tuple(tensor.shape)).encode() + tensor.numpy().tobytes())
        return f"sha256:{hasher.hexdigest()}"

    def description(self) -> dict[str, Any]:
        """Return what two datasets must have in common, as JSON values."""
        return {
            "frames": len(self.states),
            "episodes": len(self.last.unique()),
            "state_values": self.states.shape[1],
            "action_values": self.actions.shape[1],
            "fps": self.fps,
            "digest": self.digest,
        }


def resolve(dataset_id: str, data_root: Path, say: Callable[[str], None]) -> Path:
    """Return the folder of a dataset; one that is not there is made from rollouts, for nothing is downloaded.

    Raises:
        UsageError: the id is none.
        NotFoundError: its folder is there, and holds no dataset.
    """
    if not _ID.fullmatch(dataset_id) or ".." in dataset_id:
        raise UsageError(f"dataset id {dataset_id[:80]!r} is none", hint="for example ISdept/piper_arm")
    root = data_root / dataset_id
    if not root.exists():
        say(f"note: {root} is not there, and nothing is downloaded: making a stand-in from rollouts of Pendulum-v1")
        made = root.with_name(f".{root.name}.{os.getpid()}")
        shutil.rmtree(made, ignore_errors=True)
        runpy.run_path(str(_MAKER))["make_dataset"](made, "Pendulum-v1", episodes=24, validation=4)
        made.rename(root)  # a dataset that was cut in half is never taken for a whole one
    if not (root / "meta" / "info.json").is_file():
        raise NotFoundError(f"{root}: is not a LeRobot dataset: it has no meta/info.json", hint="see make_dataset.py")
    return root


def read_frames(root: Path) -> Frames:
    """Read the episodes of the split ``train`` (all of them, if there is no such split).

    Raises:
        DamagedError: a file is missing, cannot be read, or is not what the metadata say; the message names it.
    """
    info, found = read_info(root), Findings()
    for name in (STATE, ACTION):
        if name not in info.features:
            raise DamagedError(f"{root}/meta/info.json: features has no {name!r}", hint="this policy needs both")
    episodes = sorted(read_episodes(root, info, found), key=lambda episode: episode.number)
    if problems := found.all():
        raise DamagedError(f"{root}/{problems[0].file}: {problems[0].message}", hint=f"ckptkit check-data {root}")
    start, stop = _split(root, info.splits.get("train", f"0:{info.total_episodes}"))
    wanted = [episode for episode in episodes if start <= episode.number < stop]
    if not wanted:
        raise DamagedError(f"{root}: the split 'train' is empty", hint=f"ckptkit check-data {root}")
    columns = _read(root, wanted)
    lengths = torch.tensor([episode.length for episode in wanted])
    last = torch.repeat_interleave(lengths.cumsum(0) - 1, lengths)
    robot = str(json.loads((root / "meta" / "info.json").read_text()).get("robot_type"))
    return Frames(columns[STATE], columns[ACTION], last, info.fps, robot)


def _split(root: Path, text: Any) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,15}):(\d{1,15})", str(text))
    if match is None:
        raise DamagedError(f"{root}/meta/info.json: splits.train is {text!r}, not START:STOP", hint="correct it")
    return int(match[1]), int(match[2])


def _read(root: Path, episodes: Sequence[Episode]) -> dict[str, torch.Tensor]:
    tables: dict[str, Any] = {}
    pieces: dict[str, list[Any]] = {STATE: [], ACTION: []}
    for episode in episodes:
        if episode.file not in tables:
            tables = {episode.file: _columns(root, episode.file)}  # one file at a time: they may be large
        columns = tables[episode.file]
        rows = np.flatnonzero(columns["episode_index"] == episode.number)
        if not np.array_equal(columns["frame_index"][rows], np.arange(episode.length)):
            where = f"{root}/{episode.file}: episode {episode.number}"
            raise DamagedError(f"{where} does not hold its {episode.length} frames in order", hint=_check(root))
        for name, parts in pieces.items():
            parts.append(columns[name][rows])
    return {name: torch.from_numpy(_joined(root, name, parts)) for name, parts in pieces.items()}


def _columns(root: Path, file: str) -> dict[str, Any]:
    try:
        table = pq.ParquetFile(inside(root, file)).read(["episode_index", "frame_index", STATE, ACTION])
        return {name: _matrix(table.column(name).combine_chunks()) for name in table.column_names}
    except FileNotFoundError as error:
        raise DamagedError(f"{root}/{file}: is not there", hint=_check(root)) from error
    except (OSError, pa.ArrowException, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise DamagedError(f"{root}/{file}: cannot be read ({reason})", hint=_check(root)) from error


def _matrix(column: Any) -> Any:
    """Return counts as (rows,), and numbers as float32 of shape (rows, values)."""
    if pa.types.is_integer(column.type):
        return column.to_numpy(zero_copy_only=False)
    flat = column.flatten() if hasattr(column.type, "value_type") else column
    values = flat.to_numpy(zero_copy_only=False).astype(np.float32)
    return values.reshape(len(column), -1)


def _joined(root: Path, name: str, parts: Sequence[Any]) -> Any:
    if len({part.shape[1:] for part in parts}) > 1:
        raise DamagedError(f"{root}: {name!r} has another number of values in some episodes", hint=_check(root))
    joined = np.concatenate(parts).astype(np.float32)
    joined = joined.reshape(len(joined), -1)
    if not np.isfinite(joined).all():
        raise DamagedError(f"{root}: {name!r} holds NaN or infinity", hint=_check(root))
    return joined


def _check(root: Path) -> str:
    return f"ckptkit check-data {root}"


def statistics(values: torch.Tensor) -> dict[str, list[float]]:
    """Return mean, standard deviation, least and greatest of each column, as JSON values."""
    rows = values.double()
    parts = {"mean": rows.mean(0), "std": rows.std(0), "min": rows.min(0).values, "max": rows.max(0).values}
    return {name: [float(v) for v in part] for name, part in parts.items()}


class ActionChunks(Dataset[Mapping[str, torch.Tensor]]):
    """Each frame's state with the actions from there on; behind the end of an episode its last action is repeated.

    Fetches a whole batch at once: ``state`` (batch, values), ``actions`` (batch, horizon, values), and ``inside``
    (batch, horizon), false where an action is a repetition.
    """

    def __init__(self, frames: Frames, horizon: int) -> None:
        self.frames, self.horizon = frames, horizon

    def __len__(self) -> int:
        return len(self.frames.states)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {name: values[0] for name, values in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """Return the batch of these frames."""
        start = torch.as_tensor(indices)
        ahead = start[:, None] + torch.arange(self.horizon)
        last = self.frames.last[start][:, None]
        actions = self.frames.actions[torch.minimum(ahead, last)]
        return {"state": self.frames.states[start], "actions": actions, "inside": ahead <= last}


def batch_as_it_is(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Collate nothing: the dataset has fetched the whole batch."""
    return batch


def make_loader(frames: Frames, horizon: int, batch_size: int) -> DataLoader[Mapping[str, torch.Tensor]]:
    """Return a new loader; its order comes from torch's global generator."""
    chunks = ActionChunks(frames, horizon)
    size = min(batch_size, len(chunks))
    return DataLoader(chunks, size, shuffle=True, drop_last=True, collate_fn=batch_as_it_is)
