"""Clean boundaries: when SB3 has nothing in flight, and saving exactly there."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from ckptkit.errors import UsageError

MidRollout = bool | Literal["auto"]


def CheckpointBoundary(  # reads as the callback class that it returns
    save: Callable[[Any], object],
    *,
    every_steps: int | None = None,
    every_episodes: int | None = None,
    barrier: int | None = None,
    mid_rollout: MidRollout = "auto",
    factories: Mapping[str, Callable[[], Any]] | None = None,
    note: Callable[[Any], object] | None = None,
) -> Any:
    """Return an SB3 callback that saves at the next clean boundary after an interval has passed.

    The item says where that was (``SavedItem.boundary``, in the manifest's ``boundary``): ``kind`` is ``step`` or
    ``episode`` where the rollout was still going on, ``rollout`` where the save had to wait for its end;
    ``requested_at`` and ``saved_at`` are ``num_timesteps``.

    Args:
        save: called with the algorithm when its state is clean, for example
            ``lambda model: store.save("ppo/run1", model.num_timesteps, {"agent": model})``.
        every_steps: ask for a save whenever ``num_timesteps`` passes a multiple of it.
        every_episodes: ask for a save whenever the number of finished episodes passes a multiple of it.
        barrier: for environments whose state cannot be captured: reset all of them before each save, with a seed
            derived from this one and ``num_timesteps``. The run then differs from one without checkpoints, but a
            resumed run equals an uninterrupted one.
        mid_rollout: whether on-policy algorithms are saved inside a rollout, right after the step or episode that asked
            for it, or at its end (``False``). ``"auto"``: inside where that is exact, else at its end. ``True``: refuse
            to train where it never is; such a save may also lie past ``total_timesteps``, in the last rollout: finish
            it with ``Resumed.learn``.
        factories: ``env`` builds one more environment, for a self-test in another process, where the environment
            cannot be built anew from what it says of itself.
        note: called with the algorithm at each clean boundary that follows an update, before a save there; for example
            ``lambda model: observer.note(model.num_timesteps, {"agent": model})``.

    Returns:
        A ``BaseCallback`` with the method ``request()``, which asks for a save at the next boundary.

    Raises:
        UsageError: an interval below 1, or ``mid_rollout=True`` with a barrier.
    """
    _check(mid_rollout, barrier, every_steps, every_episodes)
    from ckptkit_sb3.boundary_callback import BoundaryCallback  # only now is SB3 needed

    return BoundaryCallback(
        save,
        every_steps=every_steps,
        every_episodes=every_episodes,
        barrier=barrier,
        mid_rollout=False if barrier is not None else mid_rollout,
        fresh_env=(factories or {}).get("env"),
        note=note,
    )


def _check(mid_rollout: MidRollout, barrier: int | None, *intervals: int | None) -> None:
    if mid_rollout is True and barrier is not None:
        raise UsageError("a barrier resets the environments, inside a rollout too", hint="leave mid_rollout out")
    for interval in intervals:
        if interval is not None and interval < 1:
            raise UsageError(
                f"{interval} is not an interval between checkpoints", hint="give 1 or more, or leave it out"
            )
