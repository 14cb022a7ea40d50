"""Saving: the zip as SB3 writes it, then what the zip does not hold, and how exactly training can continue from it."""

import io
import time
from collections.abc import Callable, Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import Any, cast

from ckptkit.backend import GRADES, Captured, Grade, SaveContext, SavedItem
from ckptkit.errors import BackendError
from ckptkit.formats import strict_json
from ckptkit_sb3 import array_file, capture, layout, replay, rollout, structure_at_start
from ckptkit_sb3.agent import ALGORITHM, configuration_of, describe_agent
from ckptkit_sb3.code_free import code_replaced
from ckptkit_sb3.names import class_name, is_kind
from ckptkit_sb3.parameters import describe_optimizers
from ckptkit_sb3.progress import Position, Saving, episodes_of, in_rollout, position_of, progress_of

_OF_SB3 = "stable_baselines3.common.base_class"
_BUFFER = 1 << 20  # bytes: SB3 writes small pieces, and takes no other kind of stream
_REPLAY = "ckptkit_sb3.checkpointable(factory, replay=True) brings such environments back"


def save(model: Any, directory: Path, context: SaveContext) -> SavedItem:
    """Write all files of one algorithm; see ``Sb3Backend.save``."""
    if not is_kind(model, ALGORITHM):
        raise BackendError(f"a {class_name(model)} is not an SB3 algorithm", hint="give the algorithm itself")
    position = position_of(model)
    structure_at_start.refuse_changed(model, progress_of(model).built)
    started = time.perf_counter()
    replaced = _write_zip(model, directory / layout.MODEL, context.create)
    zipped = time.perf_counter()
    saving = progress_of(model).saving or Saving()
    taken = capture.take(model, context.factories.get("env"), barrier=saving.barrier)
    buffer = getattr(model, "replay_buffer", None)
    rows, left_out = None, list(taken.left_out)
    if buffer is not None:
        rows, missing = replay.save(buffer, directory, taken.arrays, context.create)
        left_out += missing
    halfway = rollout.save(model, directory, context.create) if in_rollout(model) else None
    counters = _counters(model)
    captured = _captured(taken.sections, position, left_out)
    state = {
        "format": 1,
        "agent": describe_agent(model),
        "counters": counters,
        "configuration": configuration_of(model),
        "optimizers": describe_optimizers(model),
        "captured": {"grade": captured.grade, "reasons": list(captured.reasons)},
        "inside_learn": position.inside_learn,
        "not_in_zip": replaced,
        "barrier": saving.barrier,
        "replay": rows,
        "rollout": halfway,
        "arrays": sorted(taken.arrays),
        "sections": taken.sections,
    }
    _write_state(directory, state, taken.arrays, context.create)
    written, recorded = time.perf_counter(), None
    if context.probe:
        from ckptkit_sb3 import probe

        recorded = probe.record(model, taken)
    seconds = {"zip": zipped - started, "beside": written - zipped, "probe": time.perf_counter() - written}
    metadata = _metadata(model, directory, taken, seconds)
    return SavedItem(
        metadata=metadata,
        counters=counters,
        captured=captured,
        hazards=[*_hazards(model, replaced), *_untested(taken.sections["environments"])],
        probe=recorded,
        boundary=_boundary(model, saving),
    )


def estimate(model: Any) -> int:
    """Return roughly the bytes that a save will write."""
    networks: int = sum(t.nbytes for t in model.policy.state_dict().values() if hasattr(t, "nbytes"))
    buffer = getattr(model, "replay_buffer", None)
    rows = 0
    if buffer is not None:
        share = replay.filled(buffer) / max(1, buffer.buffer_size)
        rows = int(share * sum(array.nbytes for _, array in replay.rows_of(buffer)))
    return 3 * networks + rows + (256 << 10)  # networks, two moments of each; zip, JSON and small state


def _write_zip(model: Any, path: Path, create: Callable[[Path], BufferedIOBase]) -> list[str]:
    own = [name for name, value in vars(model).items() if callable(value) and hasattr(type(model), name)]
    try:
        with code_replaced(model) as replaced:
            if type(model).save.__module__ == _OF_SB3:
                with create(path) as stream, io.BufferedWriter(cast("Any", stream), _BUFFER) as buffered:
                    model.save(buffered, exclude=own)
            else:  # a stranger's may want a path
                model.save(path, exclude=own)
    except (BackendError, OSError):
        raise
    except Exception as error:  # cloudpickle fails in as many ways as there are attributes
        raise BackendError(
            f"SB3 cannot write the agent's zip: {type(error).__name__}: {error}".splitlines()[0],
            hint="an attribute of the agent cannot be pickled; remove it or exclude it in _excluded_save_params",
        ) from error
    return replaced


def _write_state(
    directory: Path, state: Mapping[str, Any], arrays: Mapping[str, Any], create: Callable[[Path], BufferedIOBase]
) -> None:
    with create(directory / layout.STATE) as stream:
        stream.write(strict_json.dumps(state))
    if arrays:
        with create(directory / layout.ARRAYS) as stream:
            array_file.write(stream, arrays)


def _counters(model: Any) -> dict[str, int]:
    episodes = episodes_of(model)
    return {"num_timesteps": int(model.num_timesteps)} | ({} if episodes is None else {"episode": episodes})


def _metadata(model: Any, directory: Path, taken: capture.Capture, seconds: Mapping[str, float]) -> dict[str, Any]:
    import stable_baselines3

    agent = describe_agent(model)
    environments = [
        {key: described.get(key) for key in ("strategy", "grade", "reasons", "tested")}
        for described in taken.sections["environments"]
    ]
    seconds = {**seconds, "environments": taken.environments_seconds}
    sizes = {p.name: p.stat().st_size for p in directory.iterdir()}
    return {
        "captured": True,
        "zip": layout.MODEL,
        "algorithm": agent["algorithm"],
        "policy": agent["policy"],
        "n_envs": agent["n_envs"],
        "environments": environments,
        "versions": {"stable_baselines3": stable_baselines3.__version__},
        "zip_bytes": sizes[layout.MODEL],
        "beside_bytes": sum(sizes.values()) - sizes[layout.MODEL],
        **{f"{part}_ms": _milliseconds(taken) for part, taken in seconds.items()},
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


def _hazards(model: Any, replaced: list[str]) -> list[str]:
    found = []
    if replaced:
        names = ", ".join(replaced)
        found.append(f"code of the training script is not in model.zip ({names}): resume into an agent that has it")
    if getattr(model, "seed", None) is not None:
        found.append("SB3's own load() re-seeds with the run's seed: resume through ckptkit, not from the bare zip")
    return found
