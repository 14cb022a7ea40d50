"""Stable-Baselines3: the zip says ``num_timesteps``; what the callback writes after it tells whether it had finished.

Source: stable_baselines3/common/callbacks.py (``CheckpointCallback``, ``EvalCallback``), save_util.py
(``save_to_zip_file``).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.formats.zips import read_member
from ckptkit.layouts import sb3_callback as layout
from ckptkit.trainers.ends import not_whole, require_closed_zip, require_ended_pickle
from ckptkit.trainers.evaluations import METRIC, mean_reward
from ckptkit.trainers.interface import Judged, Resuming, Seen, Told
from ckptkit.trainers.state_files import MOST_BYTES, as_count
from ckptkit.trainers.steps import told_step

KIND = "sb3_callback"
_STEPS = "num_timesteps"
_VERSION_BYTES = 100
_ENDS = {"zip": require_closed_zip, "pkl": require_ended_pickle}
_RESUMING = Resuming(call="ALGORITHM.load(PATH, env=env)")


@dataclass(frozen=True, slots=True)
class Sb3Callback:
    """``CheckpointCallback``. Agents are loaded by a program that knows the algorithm, so no command is known."""

    kind: str = KIND
    title: str = "Stable-Baselines3"
    item: str = "agent"
    resuming: Resuming = _RESUMING

    def judge(self, seen: Seen) -> Judged:
        """Return whether zip and pickles have their ends, and none is missing that an earlier zip has."""
        return judged_agent(seen)

    def told(self, seen: Seen) -> Told:
        """Return ``num_timesteps``, the episodes, and the mean reward of the evaluation at this step."""
        return told_agent(seen)


def is_agent(path: Path) -> bool:
    """Return whether a file is an agent that was saved, whatever its name."""
    try:
        return bool(read_member(path, "_stable_baselines3_version", max_bytes=_VERSION_BYTES))
    except (DamagedError, OSError):
        return False


def judged_agent(seen: Seen) -> Judged:
    """Return whether an agent and what lies beside it were written to their ends."""
    faults = [*_cut(seen), *_to_come(seen)]
    if faults:
        return not_whole(*faults)
    beside = len(seen.found.files) - 1
    return Judged("complete", ("the zip was closed" + (", and what lies beside it has its end" if beside else ""),))


def told_agent(seen: Seen) -> Told:
    """Return what an agent's zip says, and the evaluation at its step."""
    data: Mapping[str, Any] = {}
    doubts = []
    try:
        data = agent_data(seen)
    except DamagedError as error:
        doubts.append(error.message)
    told = told_step(seen, [(f"{_STEPS} in it", data.get(_STEPS))])
    reward, doubt = mean_reward(seen, told.step)
    episodes = as_count(data.get("_episode_num"))  # on-policy algorithms leave it at 0
    return Told(
        told.step,
        told.step_from,
        counters={"episode": episodes} if episodes else {},
        metrics=reward,
        best=(METRIC, "max") if reward else None,
        doubts=(*told.doubts, *doubts, *doubt),
    )


def agent_data(seen: Seen) -> Mapping[str, Any]:
    """Return the ``data`` of an agent's zip, in which objects stay base64.

    Raises:
        DamagedError: it is no such zip.
    """
    name = escaped(seen.found.name)
    try:
        value = json.loads(read_member(seen.folder / seen.found.name, "data", max_bytes=MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{name}: its data is no JSON") from error
    if not isinstance(value, dict):
        raise DamagedError(f"{name}: its data is no JSON object")
    return value


def _cut(seen: Seen) -> Iterator[DamagedError]:
    for name in seen.found.files:
        require = _ENDS.get(name.rpartition(".")[2])
        try:
            if require is not None:
                require(seen.folder / name)
        except DamagedError as error:
            yield error


def _to_come(seen: Seen) -> Iterator[DamagedError]:
    """Yield what the callback wrote beside its earlier zips, and has not yet beside this one.

    Later ones tell nothing: to save room, people remove the old buffers and keep the newest.
    """
    parts = layout.prefix_and_steps(seen.found.name)
    for kind, own in layout.names_beside(seen.found.name).items():
        if parts is None or own in seen.found.files:
            continue
        names = (name for name in seen.listing.files if f"_{kind}_" in name)
        beside = layout.steps_beside(kind, names, parts[0])
        if beside and max(beside) < int(parts[1]):
            has = f"though the zip of {max(beside)} steps has one, written after the zip"
            yield DamagedError(f"no {kind} lies beside it, {has}")
