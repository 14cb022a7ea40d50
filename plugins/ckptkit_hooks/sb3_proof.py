"""How an SB3 run proves itself: which of its steps are noted, and what a rehearsal of it must not write for real.

A resume that went wrong shows in an update or after it, so the boundaries after updates are noted.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ckptkit
from ckptkit.store import CheckpointStore
from ckptkit.store.observing import Observer, Prove

ITEM = "agent"
"""Name of the algorithm among the items of a checkpoint."""
_STEPS = 512
"""Environment steps that the notes should span, unless one update takes more: then they span two updates."""
_MOST, _LEAST = 8, 2
_WRITERS = {"EvalCallback": ("best_model_save_path", "log_path"), "CheckpointCallback": ("save_path",)}
"""Where SB3's own callbacks write."""


class Proving:
    """Notes the boundaries after updates with an observer of the run, made once the algorithm is known.

    Args:
        store: the store.
        run: name of the run.
        prove: after which save; see ``CheckpointStore.observe``.
        resume: the command that resumes it.

    Raises:
        UsageError: ``prove`` is not one of its values.
    """

    def __init__(self, store: CheckpointStore, run: str, prove: Prove, resume: Sequence[str] | None) -> None:
        self._store = store
        self._run = run
        self._prove = prove
        self._resume = resume
        self._observer: Observer = self._made(_LEAST)

    def begin(self, model: Any) -> None:
        """Begin with a training: from here on the distance between its updates is known."""
        self._observer = self._made(notes_for(model))

    def note(self, step: int, items: Mapping[str, Any]) -> None:
        """Note a boundary after an update."""
        self._observer.note(step, items)

    def end(self) -> None:
        """End with the training: a short one proves itself with what was noted."""
        self._observer.close()

    def _made(self, notes: int) -> Observer:
        return self._store.observe(self._run, steps=notes, prove=self._prove, resume=self._resume)


def notes_for(model: Any) -> int:
    """Return how many boundaries to note after a save: enough to span two updates, but not too many."""
    rollout = getattr(model, "rollout_buffer", None)
    if rollout is None:
        return _MOST if getattr(model, "replay_buffer", None) is not None else _LEAST
    between = int(rollout.buffer_size) * int(rollout.n_envs)
    return max(_LEAST, min(_MOST, _STEPS // between))


def keep_apart(model: Any, callbacks: Sequence[Any]) -> None:
    """In a rehearsal, redirect what the algorithm and SB3's own callbacks write to its scratch folder.

    The live run still writes to the original place: its best model must not be replaced by a rehearsal's.
    """
    scratch = ckptkit.rehearsing()
    if scratch is None:
        return
    model.tensorboard_log = None
    seen: dict[int, Any] = {}
    waiting = list(callbacks)
    while waiting:
        callback = waiting.pop()
        if id(callback) not in seen:
            seen[id(callback)] = callback
            held = vars(callback)
            inner = [*held.get("callbacks", ()), held.get("callback"), held.get("callback_on_new_best")]
            waiting += [one for one in inner if hasattr(one, "__dict__")]
    for number, callback in enumerate(seen.values()):
        for name in _paths_of(callback):
            place = scratch / "callbacks" / str(number) / Path(getattr(callback, name)).name
            setattr(callback, name, str(place))


def _paths_of(callback: Any) -> list[str]:
    kinds = [kind for kind in type(callback).__mro__ if kind.__module__.startswith("stable_baselines3.")]
    names = [name for kind in kinds for name in _WRITERS.get(kind.__name__, ())]
    return [name for name in names if getattr(callback, name, None) is not None]


def keep_monitors_apart() -> None:
    """In a rehearsal, make SB3's Monitor write into the scratch folder: it empties the file that it opens."""
    scratch = ckptkit.rehearsing()
    if scratch is None:
        return
    from stable_baselines3.common.monitor import ResultsWriter

    make = ResultsWriter.__init__

    def elsewhere(self: Any, filename: str = "", *arguments: Any, **more: Any) -> None:
        place = scratch / "monitors" / Path(filename).relative_to(Path(filename).anchor)
        place.parent.mkdir(parents=True, exist_ok=True)
        make(self, str(place), *arguments, **more)

    ResultsWriter.__init__ = elsewhere
