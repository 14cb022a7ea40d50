"""What an SB3 zip does not hold: counters, spaces, wrappers, environments, noise, observations and random generators.

``take`` reads it from a live algorithm without changing it; ``plan`` checks it against another one and collects the
assignments that put it there. Both walk the same sections, so that a section cannot be saved but not restored.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit_sb3 import callbacks, environments, modules, settings
from ckptkit_sb3.agent import constructor_arguments
from ckptkit_sb3.decoding import Decoder
from ckptkit_sb3.encoding import STATIC, Encoder
from ckptkit_sb3.holders import shared_tensors
from ckptkit_sb3.names import is_kind
from ckptkit_sb3.process_rng import check_rng, put_rng, take_rng
from ckptkit_sb3.progress import progress_of

OBSERVATIONS = ("_last_obs", "_last_episode_starts", "_last_original_obs")
SET_BY_LEARN = frozenset({"_total_timesteps", "_num_timesteps_at_start"})
"""Set by ``learn`` from its own argument: never put back over it."""
_OWN_SECTION = frozenset(
    {*OBSERVATIONS, "start_time", "action_space", "observation_space", "action_noise", "n_envs"}
) | {"policy", "device", "env", "_vec_normalize_env", "_logger", "_custom_logger", "replay_buffer", "rollout_buffer"}
"""Attributes that are saved elsewhere, or are no state. Not ``_excluded_save_params``: RecurrentPPO excludes its hidden
states from the zip, without which it resumes wrongly."""


@dataclass(slots=True)
class Capture:
    """The sections as JSON, their large arrays, what could not be said, and how long the environments took."""

    sections: dict[str, Any]
    arrays: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    lost_of_modules: list[str] = field(default_factory=list)
    environments_seconds: float = 0.0


def take(
    model: Any, fresh_env: Callable[[], Any] | None = None, *, barrier: int | None = None, tested: bool = True
) -> Capture:
    """Capture everything beside the zip; random generators first and last, so that nothing drawn meanwhile counts.

    Args:
        model: a live algorithm at a clean boundary.
        fresh_env: builds one more environment of the same definition, for the environment's self-test.
        barrier: the seed with which the environments were reset just now, if they were.
        tested: whether what the self-tests of the environments found counts.
    """
    rng = take_rng()
    captured = Capture({"rng": rng})
    try:
        shared = shared_tensors(model)
        for name, value in _parts(model):
            encoder = Encoder(captured.arrays, f"{name}/", shared=shared)
            if name == "attributes":
                captured.sections[name] = _attributes(encoder, value)
            elif name == "wrappers":
                captured.sections[name] = environments.take_wrappers(encoder, value, name)
            else:
                captured.sections[name] = encoder.encode(value, name)
            captured.left_out += encoder.left_out
        _take_beside(model, captured, shared)
        started = time.perf_counter()
        captured.sections["environments"] = environments.take(
            model.env, captured.arrays, fresh_env, barrier, tested=tested
        )
        captured.environments_seconds = time.perf_counter() - started
    finally:
        if take_rng() != rng:  # a stranger's get_state may draw numbers
            put_rng(rng)
    return captured


def _take_beside(model: Any, captured: Capture, shared: frozenset[int]) -> None:
    """Take what a load puts back at moments of its own: settings, modules, callbacks."""
    progress = progress_of(model)
    captured.sections["settings"], lost = settings.describe(model, progress.start)
    captured.left_out += lost
    captured.sections["modules"], captured.lost_of_modules = modules.take(model, captured.arrays, shared)
    captured.left_out += captured.lost_of_modules
    captured.sections["callbacks"], lost = callbacks.take(model, progress.watched, captured.arrays)
    captured.left_out += lost


def plan_beside(model: Any, sections: Mapping[str, Any], arrays: Mapping[str, Any], decoder: Decoder) -> list[str]:
    """Collect the assignments that put settings and modules back; return what to tell. Older checkpoints have none."""
    told = []
    if "settings" in sections:
        told += settings.plan(model, sections["settings"], decoder)
    if "modules" in sections:
        told += modules.plan(model, sections["modules"], arrays, decoder)
    return told


def plan(model: Any, sections: Mapping[str, Any], arrays: Mapping[str, Any], *, started: bool) -> Decoder:
    """Check the sections against a live algorithm and return the assignments that put all but the RNGs back.

    Args:
        model: the algorithm, with its environment.
        sections: what ``take`` returned.
        arrays: its large arrays.
        started: ``learn`` has set its own counters already; they stay.

    Raises:
        DamagedError: a section is not well formed.
        BackendError: the algorithm has another structure.
    """
    decoder = Decoder(arrays)
    # Environments without their state start over: learn() resets them, and what belongs to the lost episodes goes.
    anew = begins_anew(sections)
    lost = {"observations", *(("wrappers", "noise") if started else ())} if anew else set()
    for name, value in _parts(model):
        if name not in sections:
            raise DamagedError(f"state.json: section {name!r} is missing")
        if name == "wrappers" and name not in lost:
            environments.plan_wrappers(sections[name], value, arrays, decoder, name)
        elif name not in lost:
            part = Decoder(arrays)
            values = _planned(model, name, sections[name], value, part, started=started)
            decoder.later(part.apply)
            decoder.later(partial(vars(model).update, values))
    put = environments.plan(model.env, sections.get("environments"), arrays)
    if anew:
        if not started:
            decoder.later(partial(vars(model).update, {"_last_obs": None}))
    else:
        # First of all: they are the only ones that run a stranger's code, which may fail.
        decoder.first(partial(environments.put_or_roll_back, model.env, put))
    check_rng(sections.get("rng"))
    return decoder


def _planned(model: Any, name: str, node: Any, value: Any, part: Decoder, *, started: bool) -> dict[str, Any]:
    """Decode a section; return the attributes of the algorithm that it is about."""
    if name == "attributes":
        own = _configuration(model) | (SET_BY_LEARN if started else frozenset())
        kept = {k: v for k, v in sorted(node.items()) if k not in own}
        return {k: part.decode(v, vars(model).get(k), f"attributes.{k}") for k, v in kept.items()}
    found = part.decode(node, value, name)
    if name == "noise":
        return {"action_noise": value}
    return dict(zip(OBSERVATIONS, found, strict=True)) if name == "observations" else {}


def begins_anew(sections: Mapping[str, Any]) -> bool:
    """Return whether the environments begin new episodes at a load, because one of them could not be captured."""
    described = sections.get("environments")
    return isinstance(described, list) and any(d.get("strategy") == "none" for d in described)


def action_noise_of(model: Any) -> Any:
    """Return the action noise, one per environment as ``learn`` makes it of a single one."""
    noise, count = getattr(model, "action_noise", None), model.n_envs
    if noise is None or count == 1 or is_kind(noise, "stable_baselines3.common.noise.VectorizedActionNoise"):
        return noise
    from stable_baselines3.common.noise import VectorizedActionNoise

    return VectorizedActionNoise(noise, count)


def _configuration(model: Any) -> frozenset[str]:
    torch_names = {n.partition(".")[0] for group in model._get_torch_save_params() for n in group}
    return constructor_arguments(model) | _OWN_SECTION | torch_names


def _parts(model: Any) -> Iterator[tuple[str, Any]]:
    yield "attributes", model
    yield "spaces", [model.action_space, model.observation_space]
    yield "wrappers", model.env
    yield "noise", action_noise_of(model)
    yield "observations", [getattr(model, name, None) for name in OBSERVATIONS]


def _attributes(encoder: Encoder, model: Any) -> dict[str, Any]:
    skip = _configuration(model)
    nodes = {}
    for name, value in sorted(vars(model).items()):
        if name in skip or callable(value):  # schedules belong to the configuration, too
            continue
        node = encoder.encode(value, f"attributes.{name}")
        if node != STATIC:
            nodes[name] = node
    return nodes
