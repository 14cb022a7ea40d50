"""Stable-Baselines3: a callback that saves exactly resumable checkpoints at clean boundaries, and resumes from them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Unpack

from ckptkit_sb3 import CheckpointBoundary

from ckptkit.store import CheckpointStore
from ckptkit_hooks import sb3_proof
from ckptkit_hooks.arguments import Arguments, HookFields
from ckptkit_hooks.keeper import Keeper
from ckptkit_hooks.sb3_proof import ITEM, Proving
from ckptkit_hooks.sigterm import StopRequest

sb3_proof.keep_monitors_apart()  # when this is imported: environments are built after that, and Monitors open files
_LOOPS = {"ARS.learn", *(f"{kind}Algorithm.learn" for kind in ("Base", "OnPolicy", "OffPolicy"))}
REWARD = "ep_rew_mean"
"""The metric of every checkpoint: mean reward of the last episodes (SB3's ``ep_info_buffer``, 100 of them)."""


def CheckpointCallback(  # reads as the callback class that it returns
    store: CheckpointStore | str | Path,
    run: str,
    *,
    metrics: Callable[[Any], Mapping[str, float]] | None = None,
    barrier: int | None = None,
    factories: Mapping[str, Callable[[], Any]] | None = None,
    **how: Unpack[HookFields],
) -> Any:
    """Return an SB3 callback that keeps the checkpoints of one run.

    A save that is due is made at the next boundary where nothing is in flight: after the step, or at the end of the
    rollout; see ``ckptkit_sb3.CheckpointBoundary``. The same goes for the save after a SIGTERM; then the process ends
    with exit code 143.

    Args:
        store: the store, or its path.
        run: name of the run.
        metrics: more metrics, from the algorithm.
        barrier: for environments whose state cannot be captured; see ``ckptkit_sb3.CheckpointBoundary``.
        factories: ``{"env": ...}`` builds one more environment, for a self-test in another process; only needed if the
            environment can neither be pickled nor be rebuilt from its ``spec``.
        how: ``schedule``, ``retain``, ``sigterm``, ``resume``, ``replace_newer``, ``prove``, ``wait``, as of all hooks;
            see ``ckptkit_hooks.arguments.Arguments``.
            ``every_steps`` counts ``num_timesteps``, ``every_episodes`` finished
            episodes. Every checkpoint has the metric ``ep_rew_mean``, and those of ``metrics``.

    Returns:
        A ``CallbackList`` with two methods:
        ``resume_or_start(model, total_timesteps, *, ref=None, callback=None, **learn)`` puts the newest checkpoint
        that verifies into the model, which was built as in the training being resumed (without one, it starts afresh),
        and trains until ``num_timesteps`` reaches ``total_timesteps``; it returns the model. ``save()`` asks for a save
        at the next boundary.

    Raises:
        UsageError: an argument makes no sense.
    """
    said = Arguments.of(how, "every_steps", "every_episodes", where="SB3's hook", best_by=(REWARD, "max"))
    keeper = Keeper.of(store, run, said)
    stop = StopRequest(_LOOPS, enabled=said.sigterm)

    def save(model: Any) -> None:
        measured = {**mean_reward(model), **(metrics(model) if metrics is not None else {})}
        name = keeper.save(model.num_timesteps, {ITEM: model}, metrics=measured, factories={ITEM: factories or {}})
        if stop.requested:
            keeper.wait()
            stop.exit(name)

    proof = Proving(keeper.store, run, said.prove, said.resume)
    boundary = CheckpointBoundary(
        save,
        every_steps=said.schedule.every_steps,
        every_episodes=said.schedule.every_episodes,
        barrier=barrier,
        factories=factories,
        note=lambda model: proof.note(model.num_timesteps, {ITEM: model}),
    )
    from ckptkit_hooks import sb3_callback  # only now is SB3 needed

    return sb3_callback.CheckpointCallback(keeper, stop, boundary, proof)


def mean_reward(model: Any) -> dict[str, float]:
    """Return the metric of an algorithm; none where no episode has ended."""
    episodes = getattr(model, "ep_info_buffer", None)
    if not episodes:
        return {}
    return {REWARD: sum(float(episode["r"]) for episode in episodes) / len(episodes)}
