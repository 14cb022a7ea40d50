"""Loading: put parameters, replay rows and everything beside the zip back into a live algorithm, in the right order.

Two ways to the live algorithm. Into one that the caller built (``target`` or ``factories["model"]``) nothing is
unpickled at all: parameters come through ``torch.load(weights_only=True)``, the rest from JSON and npz. Without one,
SB3 builds it from the zip, which unpickles; that is done only when every pickle in it passed the gate.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ckptkit.backend import LoadContext
from ckptkit.errors import BackendError, DamagedError, UnsafeContentError
from ckptkit_sb3 import (
    callbacks,
    capture,
    layout,
    process_rng,
    replay,
    rollout,
    settings,
    structure,
    structure_at_start,
)
from ckptkit_sb3.agent import ALGORITHM, configuration_of, describe_agent
from ckptkit_sb3.built_env import built_env
from ckptkit_sb3.cycle import tells_episodes
from ckptkit_sb3.names import class_name, full_name, is_kind
from ckptkit_sb3.parameters import Parameters
from ckptkit_sb3.progress import note_start, progress_of

_LOG = logging.getLogger("ckptkit_sb3")
_ENVIRONMENTS = ("gymnasium.core.Env", "stable_baselines3.common.vec_env.base_vec_env.VecEnv")
_TRUSTED_HOMES = ("stable_baselines3", "sb3_contrib")


@dataclass(slots=True)
class Resumed:
    """A loaded agent. Everything is already back in place; continue with ``learn``, which takes the whole total.

    SB3's own ``learn`` resets the action noise (and, unless ``reset_num_timesteps=False``, counters and environment)
    before it starts, so ``callback`` puts back once more what it touched, from ``on_training_start``; a rollout that
    was going on is finished. ``resumed.learn(total)`` is::

        resumed.model.learn(total - resumed.model.num_timesteps, reset_num_timesteps=False, callback=resumed.callback)

    (and for ARS, which measures its progress against the argument alone, ``learn(total, callback=resumed.callback)``).

    Attributes:
        model: the algorithm.
        differences: constructor arguments that differ from the saved ones: ``{name: (saved, now)}``.
        told: one line for each value that could not be put back, or that program and checkpoint disagree about.
        inside_learn: the state was saved while ``learn`` was running.
        rest: rows of the rollout that was going on, if one was; the next ``learn`` finishes it first.
    """

    model: Any
    differences: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    inside_learn: bool = False
    told: list[str] = field(default_factory=list)
    rest: rollout.Rest | None = field(default=None, repr=False)
    _sections: Mapping[str, Any] | None = field(default=None, repr=False)
    _arrays: Mapping[str, Any] = field(default_factory=dict, repr=False)
    _callback: Any = field(default=None, repr=False)
    _kept: dict[tuple[int, str], Any] | None = field(default=None, repr=False)

    @property
    def inside_rollout(self) -> bool:
        """Whether it was saved between two steps of a rollout; the next ``learn`` finishes it first."""
        return self.rest is not None

    @property
    def callback(self) -> Any:
        """The SB3 callback for the first ``learn``; it does its work once."""
        if self._callback is None:
            from ckptkit_sb3.resume_callback import ResumeCallback  # a resume without learn() needs no callback

            self._callback = ResumeCallback(self)
        return self._callback

    def learn(self, total_timesteps: int, callback: Any = None, **more: Any) -> Any:
        """Train until ``num_timesteps`` reaches the total, counted from the very beginning; return the algorithm.

        Args:
            total_timesteps: of the whole training, as the interrupted ``learn`` had it.
            callback: other callbacks.
            more: more arguments of SB3's ``learn``.
        """
        others = callback if isinstance(callback, list) else [] if callback is None else [callback]
        left = total_timesteps - self.model.num_timesteps
        if left <= 0 and not self.inside_rollout:
            return self.model
        if tells_episodes(self.model):
            return self.model.learn(left, callback=[*others, self.callback], reset_num_timesteps=False, **more)
        # ARS measures its progress against the argument alone; the callback puts back the counters that learn resets.
        return self.model.learn(total_timesteps, callback=[*others, self.callback], **more)

    def put_back(self, *, started: bool) -> None:
        """Put everything beside parameters and replay rows in place, random generators last.

        Args:
            started: ``learn`` has begun and set its own counters.

        Raises:
            BackendError: the algorithm or its environments have another structure; nothing was changed.
        """
        if self._sections is None:
            return
        capture.plan(self.model, self._sections, self._arrays, started=started).apply()
        self.put_generators()

    def put_generators(self) -> None:
        """Put the global random generators into the saved states."""
        if self._sections is not None:
            process_rng.put_rng(self._sections["rng"])

    def put_callbacks(self, root: Any) -> None:
        """Put the state of the other callbacks back into those of a ``learn`` that has begun; the same again, if asked.

        Args:
            root: SB3's own callback of ``learn``, which holds all others.
        """
        if self._sections is None or not self._sections.get("callbacks"):
            return
        told, left = callbacks.put_back(root, self._sections["callbacks"], self._arrays, self._kept)
        if self._kept is None:
            self._kept = left
            self._say(told)

    def _say(self, lines: list[str]) -> None:
        self.told += lines
        for line in lines:
            _LOG.warning("%s", line)


def load(directory: Path, target: Any, context: LoadContext) -> Resumed:
    """Load an item; see ``Sb3Backend.load`` for the arguments and errors."""
    structure.refuse(directory, context)
    place = layout.place(directory, context)
    state = layout.read_state(place)
    zip_path = directory / layout.zip_name(directory, context)
    if state is None:
        return _load_bare(zip_path, directory, target, context)
    model = _model(zip_path, directory, target, context, state)
    try:
        start, _ = settings.take(model)
        differences = _differences(model, state)
        parameters, decoder, arrays, rest, told = _planned(model, zip_path, place, state)
    except (KeyError, IndexError, TypeError, AttributeError) as error:  # a field of another type than save writes
        raise DamagedError(f"{layout.STATE}: not well formed ({type(error).__name__}: {error})") from error
    generators = process_rng.take_rng()
    try:
        decoder.apply()  # environments first, then what cannot fail
    except BackendError:
        process_rng.put_rng(generators)
        raise
    parameters.put(model)
    progress = progress_of(model)
    progress.episodes, progress.cut_short = state["counters"].get("episode"), False
    progress.partial = progress.rest = progress.watched = None
    note_start(model, start, structure_at_start.describe(model))
    progress.callbacks.clear()
    if rest is not None:
        rest.put(model)
        progress.partial = (rest.count, model.num_timesteps)
    process_rng.put_rng(state["sections"]["rng"])
    if "settings" not in state["sections"]:  # of format 1, which does not know what training changed
        given = {k: pair for k, pair in differences.items() if k not in settings.READ_ONCE}
        told = [
            f"{k}: this program sets {now!r}, {then!r} was saved; this program's is used"
            for k, (then, now) in given.items()
        ]
    resumed = Resumed(model, differences, state["inside_learn"], [], rest, state["sections"], arrays)
    resumed._say(told)
    return resumed


def _planned(
    model: Any, zip_path: Path, directory: layout.Place, state: Any
) -> tuple[Parameters, Any, dict[str, Any], rollout.Rest | None, list[str]]:
    """Check all of a state against an algorithm and return what will put it in; changes nothing."""
    _fits(model, state["agent"])
    arrays = layout.read_arrays(directory)
    parameters = Parameters.read(zip_path, model)
    parameters.fits(model, state["optimizers"])
    decoder = capture.plan(model, state["sections"], arrays, started=False)
    if state["replay"] is not None:
        replay.plan(state["replay"], getattr(model, "replay_buffer", None), directory, arrays, decoder)
    told = capture.plan_beside(model, state["sections"], arrays, decoder)
    halfway = state.get("rollout")
    rest = None if halfway is None else rollout.Rest.read(halfway, model, directory)
    return parameters, decoder, arrays, rest, told


def _load_bare(zip_path: Path, directory: Path, target: Any, context: LoadContext) -> Resumed:
    """Load an adopted zip: weights, optimizer and counters are all it holds."""
    model = _model(zip_path, directory, target, context, None)
    parameters = Parameters.read(zip_path, model)
    parameters.fits(model, {})
    counters = {k: v for k, v in layout.plain_data(zip_path).items() if k in layout.COUNTERS}
    parameters.put(model)
    vars(model).update(counters)
    return Resumed(model)


def _model(zip_path: Path, directory: Path, target: Any, context: LoadContext, state: Any) -> Any:
    if is_kind(target, ALGORITHM):
        return target
    if "model" in context.factories and target is None:
        model = context.factories["model"]()
        if not is_kind(model, ALGORITHM):
            raise BackendError(f'factories["model"] returned a {class_name(model)}, not an SB3 algorithm')
        return model
    if target is not None and not is_kind(target, *_ENVIRONMENTS):
        raise BackendError(
            f"an agent cannot be put into a {class_name(target)}", hint="give an SB3 algorithm or its env"
        )
    env = target
    if env is None and "env" in context.factories:
        env = built_env(context.factories["env"], state)
    return _built_from_zip(zip_path, directory, env, context, state)


def _built_from_zip(zip_path: Path, directory: Path, env: Any, context: LoadContext, state: Any) -> Any:
    name = "" if state is None else state["agent"]["algorithm"]
    home = name.partition(".")[0]
    if home not in _TRUSTED_HOMES:
        raise BackendError(
            f"{zip_path.name} does not name an algorithm of SB3" if not name else f"{name} is not an algorithm of SB3",
            hint='build the algorithm and give it as the target, or as factories["model"]',
        )
    if state["not_in_zip"]:
        raise BackendError(
            f"{zip_path.name} does not hold {', '.join(state['not_in_zip'])}: code of the training script",
            hint='build the algorithm and give it as the target, or as factories["model"]',
        )
    doubts = [p for p in structure.check(directory, context) if p.code == "pickle-unrecognised"]
    if doubts:
        raise UnsafeContentError(
            f"{zip_path.name}: building the agent from it would run code that is not known: {doubts[0].message}",
            hint='build the algorithm and give it as the target, or as factories["model"]: then nothing is unpickled',
        )
    import importlib

    module, _, qualname = name.rpartition(".")
    algorithm: Any = getattr(importlib.import_module(module), qualname, None)
    if ALGORITHM not in map(full_name, getattr(algorithm, "__mro__", ())):
        raise DamagedError(f"{layout.STATE}: {name} is not an SB3 algorithm")
    model = algorithm.load(zip_path, env=env)
    if model.env is not None:  # as in an algorithm that was never saved: one space, one generator, shared with the env
        model.action_space = model.env.action_space
        model.observation_space = model.env.observation_space
    return model


def _fits(model: Any, saved: Mapping[str, Any]) -> None:
    live = describe_agent(model)
    for name, what in (
        ("algorithm", "the algorithm"),
        ("policy", "the policy class"),
        ("observation_space", "the observation space"),
        ("action_space", "the action space"),
        ("n_envs", "the number of environments"),
    ):
        if live[name] != saved[name]:
            raise BackendError(
                f"{what} is {_short(live[name])}, but {_short(saved[name])} in the checkpoint",
                hint="build the agent as in the training that was saved",
            )
    if model.env is None:
        raise BackendError("the agent has no environment", hint="build it with its env, or give the env as the target")


def _differences(model: Any, state: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Compare what this program gives with what the saved one gave (as far as it is known, what training changed)."""
    live, saved = configuration_of(model), dict(state["configuration"])
    changed = state["sections"].get("settings", {}).get("changed") or {}
    saved |= {k: v for k, v in changed.items() if k in saved and not isinstance(v, dict)}
    return {k: (saved[k], live[k]) for k in saved if k in live and live[k] != saved[k]}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 90 else f"{text[:60]} ... {text[-26:]}"
