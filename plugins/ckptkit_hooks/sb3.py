"""Stable-Baselines3: a callback that saves exactly resumable checkpoints at clean boundaries, and resumes from them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ckptkit_sb3 import CheckpointBoundary

from ckptkit.store import CheckpointStore
from ckptkit.store.observing import Prove
from ckptkit_hooks import sb3_proof
from ckptkit_hooks.keeper import Keeper, Mode
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
    every_steps: int | None = None,
    every_episodes: int | None = None,
    keep_last_n: int | None = None,
    keep_best_n: int | None = None,
    best_metric: str = REWARD,
    best_mode: Mode = "max",
    metrics: Callable[[Any], Mapping[str, float]] | None = None,
    barrier: int | None = None,
    sigterm: bool = True,
    resume: Sequence[str] | None = None,
    factories: Mapping[str, Callable[[], Any]] | None = None,
    replace_newer: bool = False,
    prove: Prove = "first",
) -> Any:
    """Return an SB3 callback that keeps the checkpoints of one run.

    A save that is due is made at the next boundary where nothing is in flight: after the step, or at the end of the
    rollout; see ``ckptkit_sb3.CheckpointBoundary``. The same goes for the save after a SIGTERM; then the process ends
    with exit code 143.

    Args:
        store: the store, or its path.
        run: name of the run.
        every_steps: save whenever ``num_timesteps`` passes a multiple of it.
        every_episodes: save whenever the number of finished episodes passes a multiple of it.
        keep_last_n: keep this many of the newest that verify; None keeps all.
        keep_best_n: keep this many of the best besides.
        best_metric: by which metric; ``ep_rew_mean`` or one of ``metrics``.
        best_mode: ``min`` or ``max``.
        metrics: more metrics, from the algorithm.
        barrier: for environments whose state cannot be captured; see ``ckptkit_sb3.CheckpointBoundary``.
        sigterm: whether SIGTERM saves first.
        resume: argument list for ``ckptkit resume-cmd``.
        factories: ``{"env": ...}`` builds one more environment, for a self-test in another process; only needed if the
            environment can neither be pickled nor be rebuilt from its ``spec``.
        replace_newer: move checkpoints beyond the step that training continues from to the trash; otherwise training
            does not begin while there are any.
        prove: after which save the run proves itself: its ``first``, each M-th, or ``never``. What the next updates did
            is noted, and the ``resume`` command is rehearsed in the background; see ``CheckpointStore.observe``.

    Returns:
        A ``CallbackList`` with two methods:
        ``resume_or_start(model, total_timesteps, *, ref=None, callback=None, **learn)`` puts the newest checkpoint
        that verifies into the model, which was built as in the training being resumed (without one, it starts afresh),
        and trains until ``num_timesteps`` reaches ``total_timesteps``; it returns the model. ``save()`` asks for a save
        at the next boundary.

    Raises:
        UsageError: an interval or a count below 1.
    """
    keeper = Keeper(
        store,
        run,
        keep_last_n=keep_last_n,
        keep_best_n=keep_best_n,
        best_metric=best_metric if keep_best_n is not None or best_metric != REWARD else None,
        best_mode=best_mode if keep_best_n is not None or best_metric != REWARD else None,
        resume=resume,
        replace_newer=replace_newer,
    )
    stop = StopRequest(_LOOPS, enabled=sigterm)

    def save(model: Any) -> None:
        measured = {**mean_reward(model), **(metrics(model) if metrics is not None else {})}
        name = keeper.save(model.num_timesteps, {ITEM: model}, metrics=measured, factories={ITEM: factories or {}})
        if stop.requested:
            stop.exit(name)

    proof = Proving(keeper.store, run, prove, resume)
    boundary = CheckpointBoundary(
        save,
        every_steps=every_steps,
        every_episodes=every_episodes,
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
