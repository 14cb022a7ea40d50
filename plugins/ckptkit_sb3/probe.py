"""Proof of resume: digests of every part at save; after a load each part is captured again and must be equal."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from ckptkit.backend import LoadContext, Proof
from ckptkit.errors import CkptkitError, DamagedError, RefusedError
from ckptkit.formats import strict_json
from ckptkit_sb3 import capture, layout, modules, process_rng, replay, resume, settings
from ckptkit_sb3.built_env import registered, registered_factory
from ckptkit_sb3.encoding import members_of
from ckptkit_sb3.parameters import part_of
from ckptkit_sb3.progress import has_other_env, in_rollout
from ckptkit_sb3.trace import feed

_NO_STATE = frozenset({"ep_info_buffer", "episode_times", "_total_timesteps", "_num_timesteps_at_start"})
"""Wall time, and what ``learn`` sets from its own argument."""
SETTING, CALLBACK = "setting ", "callback "
_NOTHING_TO_BUILD_FROM = (
    'it does not say how to build its environment: give factories["env"] or factories["model"]'
    " (--factory ITEM.env=MODULE:FUNCTION)"
)
_SAMPLE = 4096
_NESTED = frozenset({list, dict})
_NEWEST = 256
_BYTES, _FEWEST = 4 << 20, 32
"""Of each array of a buffer about this many bytes are read, but at least this many rows."""


def digests(model: Any) -> dict[str, str]:
    """Return the digest of every part of a live algorithm's state, by name; draws and changes nothing.

    Wall time (``start_time``, times in the episode statistics) is no part of it. Of a large replay buffer the newest
    rows and an even sample of the others are read.
    """
    return _digests(model, capture.take(model, tested=False))


def _digests(model: Any, taken: capture.Capture) -> dict[str, str]:
    found = parameter_digests(model)
    buffer = getattr(model, "replay_buffer", None)
    if buffer is not None:
        found["replay_buffer"] = _rows_digest(buffer)
    if in_rollout(model):
        found["rollout_buffer"] = _rows_digest(model.rollout_buffer)
    found |= _beside(taken)
    for name, section in taken.sections.items():
        if name not in ("environments", "settings", "callbacks", "modules"):
            found[name] = _digest(_without_wall_time(section), taken.arrays)
    for i, described in enumerate(taken.sections["environments"]):
        state = {k: described.get(k) for k in ("strategy", "levels", "own", "attributes", "rng")}
        found[f"environment {i}"] = _digest(_without_wall_time(state), taken.arrays)
    return found


def _beside(taken: capture.Capture) -> dict[str, str]:
    """Return the digests of settings and callbacks: of all settings together, and of each that training changed."""
    section = taken.sections["settings"]
    nodes = settings.digestible(section)
    found = {
        "settings": _digest(nodes, taken.arrays),
        "attributes of modules": _digest(taken.sections["modules"], taken.arrays),
    }
    for path in section["changed"] or ():
        if path not in section["lost"]:
            found[f"{SETTING}{path}"] = _digest(nodes[path], taken.arrays)
    for i, node in enumerate(taken.sections["callbacks"]):
        name = f"{CALLBACK}{i} ({node['class'].rpartition('.')[2]})"
        found[name] = _digest(_without_wall_time(node["attributes"]), taken.arrays)
    return found


def _rows_digest(buffer: Any) -> str:
    count = replay.filled(buffer)
    hasher = hashlib.sha256(f"{buffer.pos} {buffer.full} {count}".encode())
    for _, array in replay.rows_of(buffer):
        if not array.dtype.hasobject:
            most = max(_FEWEST, _BYTES // max(1, array.nbytes // len(array)))  # images are large rows
            feed(hasher, array[: count : max(1, count // min(_SAMPLE, most))])
            feed(hasher, array[max(0, buffer.pos - min(_NEWEST, most)) : buffer.pos])
    return hasher.hexdigest()


def parameter_digests(model: Any) -> dict[str, str]:
    """Return digests of the networks, optimizers and loose tensors of an algorithm, by name."""
    found = {}
    names, loose = model._get_torch_save_params()
    for name in [*names, *loose]:
        part = part_of(model, name)
        if part is None:
            continue
        hasher = hashlib.sha256()
        _feed_tensors(hasher, part.state_dict() if hasattr(part, "state_dict") else part)
        found[name] = hasher.hexdigest()
    return found


def record(model: Any, taken: capture.Capture) -> dict[str, Any]:
    """Return the probe: digests of all parts, the action on the last observation, and what a proof needs to build.

    That is the numeric environment, and how the environments are made, if gymnasium brings them. Digests are
    only of parts that a load will put back: environments that could not be captured start over, with new observations;
    settings only where training has changed them (others are the program's); callbacks wait for ``learn``.
    """
    anew = capture.begins_anew(taken.sections)
    found = {k: v for k, v in _digests(model, taken).items() if k != "settings" and not k.startswith(CALLBACK)}
    for i, described in enumerate(taken.sections["environments"]):
        if (
            anew or described.get("wrong") or has_other_env(model)
        ):  # taken in another way than a live one whose self-test is not known
            del found[f"environment {i}"]
    if anew:
        del found["observations"]
    if taken.lost_of_modules:
        del found["attributes of modules"]
    action = None if anew else _action(model)
    return {"digests": found, "action": action, "numeric": _numeric(), "environment": registered(model.env)}


def prove(directory: Path, context: LoadContext) -> Proof:
    """Load into a fresh agent and compare with the probe, part by part."""
    recorded = context.probe
    state = layout.read_state(layout.place(directory, context))
    if not recorded or state is None:
        return Proof("unproven", "no proof was recorded with it")
    if not {"env", "model"} & set(context.factories):
        factory = registered_factory(recorded.get("environment"))
        if factory is None:
            return Proof("unproven", _NOTHING_TO_BUILD_FROM)
        context = replace(context, factories={**context.factories, "env": factory})
    try:
        resumed = resume.load(directory, None, context)
    except (DamagedError, RefusedError) as error:
        return Proof("differs", f"cannot be loaded: {error.message}")
    except CkptkitError as error:
        return Proof("unproven", f"cannot be loaded here: {error.message}")
    saved, live = recorded["digests"], digests(resumed.model)
    # A setting that this program gives as training had changed it is no changed one here.
    changed = sorted(n for n in saved if live.get(n) != saved[n] and (n in live or not n.startswith(SETTING)))
    if not changed and _action(resumed.model) != recorded["action"]:
        changed = ["the action on the last observation"]
    if not changed:
        captured = layout.captured_of(state)
        if captured.grade == "partial":
            return Proof("unproven", "; ".join(captured.reasons))
        if recorded["action"] is None:
            return Proof("same")
        return Proof("same", steps=1, of="action on a fixed observation")
    here, there = _numeric(), recorded["numeric"]
    other = [f"{k} {there[k]} then, {here.get(k)} now" for k in there if here.get(k) != there[k]]
    reason = f"differs in {', '.join(changed)}"
    if other:
        return Proof("environment-differs", f"{reason}; numeric environment differs: {'; '.join(other)}")
    return Proof("differs", reason)


def _action(model: Any) -> str | None:
    if model._last_obs is None:
        return None
    hasher = hashlib.sha256()
    rng = process_rng.take_rng()
    with modules.undisturbed(model):  # its modules may count, or draw
        feed(hasher, model.policy.predict(model._last_obs, deterministic=True)[0])
    if process_rng.take_rng() != rng:
        process_rng.put_rng(rng)
    return hasher.hexdigest()


def _numeric() -> dict[str, Any]:
    import numpy
    import stable_baselines3
    import torch

    return {
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "stable_baselines3": stable_baselines3.__version__,
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def _digest(section: Any, arrays: dict[str, Any]) -> str:
    hasher = hashlib.sha256(strict_json.dumps(section))
    for name in members_of(section) if arrays else ():
        feed(hasher, arrays[name])
    return hasher.hexdigest()


def _without_wall_time(node: Any) -> Any:
    """Return a node without the keys that are no state; the very node where there are none in it."""
    if isinstance(node, dict):
        kept = {k: _without_wall_time(v) if type(v) in _NESTED else v for k, v in node.items() if k not in _NO_STATE}
        return node if len(kept) == len(node) and all(kept[k] is node[k] for k in kept) else kept
    if isinstance(node, list) and not _NESTED.isdisjoint(map(type, node)):
        parts = [_without_wall_time(part) for part in node]
        return node if all(new is old for new, old in zip(parts, node, strict=True)) else parts
    return node


def _feed_tensors(hasher: Any, value: Any) -> None:
    if hasattr(value, "detach"):
        feed(hasher, value.detach().cpu().numpy())
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            hasher.update(str(key).encode())
            _feed_tensors(hasher, value[key])
    elif isinstance(value, (list, tuple)):
        for part in value:
            _feed_tensors(hasher, part)
    else:
        hasher.update(repr(value).encode())
