"""Saving: the zip as SB3 writes it, then what the zip does not hold, and how exactly training can continue from it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ckptkit.backend import GRADES, Captured, Grade, SaveContext, SavedItem, SnapshotContext
from ckptkit.errors import BackendError
from ckptkit.formats import strict_json
from ckptkit_sb3 import array_file, capture, layout, replay, rollout, structure_at_start, zip_file
from ckptkit_sb3.agent import ALGORITHM, configuration_of, describe_agent
from ckptkit_sb3.names import class_name, is_kind
from ckptkit_sb3.parameters import describe_optimizers
from ckptkit_sb3.progress import Position, Saving, episodes_of, in_rollout, position_of, progress_of

_REPLAY = "ckptkit_sb3.checkpointable(factory, replay=True) brings such environments back"


def save(model: Any, directory: Path, context: SaveContext) -> SavedItem:
    """Write all files of one algorithm; see ``Sb3Backend.save``."""
    _require_at_boundary(model)
    started = time.perf_counter()
    repr([model.observation_space, model.action_space])  # they keep the text, which SB3 writes: zips would differ
    # First of all: SB3 asks schedules as it writes, and those that count are captured with that.
    left_out = zip_file.write(model, directory / layout.MODEL, context.create)
    taken = _taken(model, context, lambda path, create: left_out, _as_they_are, time.perf_counter() - started)
    return taken.write(directory, context=context)


def snapshot(model: Any, context: SnapshotContext) -> "Agent":
    """Take the state of one algorithm apart from it; see ``Sb3Backend.snapshot``."""
    _require_at_boundary(model)
    started = time.perf_counter()
    repr([model.observation_space, model.action_space])  # as for a save
    zipped = zip_file.taken(model)
    return _taken(model, context, zipped, partial(_copied, context), time.perf_counter() - started)


@dataclass(frozen=True, slots=True)
class Agent:
    """The state of one algorithm, still to be written.

    Attributes:
        zip: writes the zip.
        state: what ``state.json`` says, but for what is not in the zip.
        arrays: by file, the arrays by name.
        said: what the backend returns, but for sizes, times and hazards of what is not in the zip.
        seconds: how long each part took so far.
    """

    zip: zip_file.Write
    state: Mapping[str, Any]
    arrays: Mapping[str, Mapping[str, Any]]
    said: SavedItem
    seconds: dict[str, float]

    def write(self, directory: Path, *, context: SaveContext) -> SavedItem:
        """See ``Pending.write``."""
        started = time.perf_counter()
        replaced = self.zip(directory / layout.MODEL, context.create)
        zipped = time.perf_counter()
        with context.create(directory / layout.STATE) as stream:
            stream.write(strict_json.dumps({**self.state, "not_in_zip": replaced}))
        for name, arrays in self.arrays.items():
            with context.create(directory / name) as stream:
                array_file.write(stream, arrays)
        self.seconds["zip"] += zipped - started
        self.seconds["beside"] += time.perf_counter() - zipped
        sizes = {p.name: p.stat().st_size for p in directory.iterdir()}
        metadata = {
            **self.said.metadata,
            "zip_bytes": sizes[layout.MODEL],
            "beside_bytes": sum(sizes.values()) - sizes[layout.MODEL],
            **{f"{part}_ms": _milliseconds(taken) for part, taken in self.seconds.items()},
        }
        return replace(self.said, metadata=metadata, hazards=[*_not_in_zip(replaced), *self.said.hazards])


def _taken(
    model: Any,
    context: SaveContext | SnapshotContext,
    zipped: zip_file.Write,
    apart: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    seconds: float = 0.0,
) -> Agent:
    """Return the state of one algorithm.

    Args:
        model: the algorithm.
        context: for saving it, now or later.
        zipped: writes the zip.
        apart: returns copies of arrays that are the algorithm's own, or these.
        seconds: how long the zip took so far.
    """
    position = _require_at_boundary(model)
    started = time.perf_counter()
    saving = progress_of(model).saving or Saving()
    taken = capture.take(model, context.factories.get("env"), barrier=saving.barrier)
    buffer = getattr(model, "replay_buffer", None)
    files: dict[str, Mapping[str, Any]] = {}
    replayed, halfway, left_out = None, None, list(taken.left_out)
    if buffer is not None:
        rows, replayed, missing = replay.take(buffer, taken.arrays)
        files[layout.REPLAY], left_out = apart(rows), left_out + missing
    if in_rollout(model):
        rows, halfway = rollout.take(model)
        files[layout.ROLLOUT] = apart(rows)
    if taken.arrays:
        files[layout.ARRAYS] = taken.arrays
    counters, agent = _counters(model), describe_agent(model)
    captured = _captured(taken.sections, position, left_out)
    state = {
        "format": 1,
        "agent": agent,
        "counters": counters,
        "configuration": configuration_of(model),
        "optimizers": describe_optimizers(model),
        "captured": {"grade": captured.grade, "reasons": list(captured.reasons)},
        "inside_learn": position.inside_learn,
        "not_in_zip": [],
        "barrier": saving.barrier,
        "replay": replayed,
        "rollout": halfway,
        "arrays": sorted(taken.arrays),
        "sections": taken.sections,
    }
    beside, recorded = time.perf_counter(), None
    if context.probe:
        from ckptkit_sb3 import probe

        recorded = probe.record(model, taken)
    said = SavedItem(
        metadata=_metadata(agent, taken),
        counters=counters,
        captured=captured,
        hazards=[*_hazards(model), *_untested(taken.sections["environments"])],
        probe=recorded,
        boundary=_boundary(model, saving),
    )
    times = {"zip": seconds, "beside": beside - started, "probe": time.perf_counter() - beside}
    return Agent(zipped, state, files, said, {**times, "environments": taken.environments_seconds})


def _require_at_boundary(model: Any) -> Position:
    """Return where the algorithm stands, before a byte of it is written, if it can be saved there.

    Raises:
        BackendError: it is not an algorithm, in the middle of a rollout, or built otherwise than when it began.
    """
    if not is_kind(model, ALGORITHM):
        raise BackendError(f"a {class_name(model)} is not an SB3 algorithm", hint="give the algorithm itself")
    position = position_of(model)
    structure_at_start.refuse_changed(model, progress_of(model).built)
    return position


def _as_they_are(arrays: Mapping[str, Any]) -> Mapping[str, Any]:
    return arrays


def _copied(context: SnapshotContext, arrays: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return copies in the memory that the context gives."""
    import numpy as np

    copies = {n: np.ndarray(a.shape, a.dtype, context.memory(a.nbytes) if a.nbytes else b"") for n, a in arrays.items()}
    context.together([partial(np.copyto, copies[name], array) for name, array in arrays.items()])
    return copies


def estimate(model: Any) -> int:
    """Return roughly the bytes that a save will write."""
    networks: int = sum(t.nbytes for t in model.policy.state_dict().values() if hasattr(t, "nbytes"))
    buffer = getattr(model, "replay_buffer", None)
    rows = 0
    if buffer is not None:
        share = replay.filled(buffer) / max(1, buffer.buffer_size)
        rows = int(share * sum(array.nbytes for _, array in replay.rows_of(buffer)))
    return 3 * networks + rows + (256 << 10)  # networks, two moments of each; zip, JSON and small state


def _counters(model: Any) -> dict[str, int]:
    episodes = episodes_of(model)
    return {"num_timesteps": int(model.num_timesteps)} | ({} if episodes is None else {"episode": episodes})


def _metadata(agent: Mapping[str, Any], taken: capture.Capture) -> dict[str, Any]:
    import stable_baselines3

    environments = [
        {key: described.get(key) for key in ("strategy", "grade", "reasons", "tested")}
        for described in taken.sections["environments"]
    ]
    return {
        "captured": True,
        "zip": layout.MODEL,
        "algorithm": agent["algorithm"],
        "policy": agent["policy"],
        "n_envs": agent["n_envs"],
        "environments": environments,
        "versions": {"stable_baselines3": stable_baselines3.__version__},
    }


def _milliseconds(seconds: float) -> str:
    """Return a text of fixed width: the length of a manifest must not depend on the clock."""
    return f"{min(seconds * 1000, 999999.9):08.1f}"


def _boundary(model: Any, saving: Saving) -> dict[str, Any] | None:
    if saving.requested_at is None:  # nobody waited for a boundary
        return None
    return {"kind": saving.kind, "requested_at": saving.requested_at, "saved_at": int(model.num_timesteps)}


def _captured(sections: Mapping[str, Any], position: Position, left_out: list[str]) -> Captured:
    """Return the worst grade of the parts, with a reason for each part that is not complete."""
    parts: list[tuple[Grade, str]] = [("partial", f"cannot save {name}") for name in left_out]
    if position.reason is not None:
        parts.insert(0, ("partial", position.reason))
    lacking: dict[tuple[Grade, str], list[int]] = {}
    for i, environment in enumerate(sections["environments"]):
        for reason in environment["reasons"]:
            lacking.setdefault((environment["grade"], reason), []).append(i)
    parts += [(grade, f"{_numbered(which)}: {reason}") for (grade, reason), which in lacking.items()]
    if capture.begins_anew(sections):
        parts.append(("partial", f"all environments are reset when it is resumed; {_REPLAY}"))
    if not parts:
        return Captured()
    return Captured(max((grade for grade, _ in parts), key=GRADES.index), [reason for _, reason in parts])


def _untested(described: list[Mapping[str, Any]]) -> list[str]:
    lacking: dict[str, list[int]] = {}
    for i, environment in enumerate(described):
        if environment.get("tested", "passed") != "passed":
            lacking.setdefault(environment["tested"], []).append(i)
    return [f"{_numbered(which)}: {why}" for why, which in lacking.items()]


def _numbered(which: list[int]) -> str:
    return f"environment {which[0]}" if len(which) == 1 else f"environments {', '.join(map(str, which))}"


def _not_in_zip(replaced: list[str]) -> list[str]:
    if not replaced:
        return []
    names = ", ".join(replaced)
    return [f"code of the training script is not in model.zip ({names}): resume into an agent that has it"]


def _hazards(model: Any) -> list[str]:
    if getattr(model, "seed", None) is None:
        return []
    return ["SB3's own load() re-seeds with the run's seed: resume through ckptkit, not from the bare zip"]
