"""Episode checkpoints of a Stable-Baselines3 run as flat files, ``ep000050.zip`` beside its metadata, with lineage.

For trainers whose users know that layout: all files are complete and on disk before the manifest beside them makes them
a checkpoint, the last N that verify are kept, a run that continues another names it, and the first checkpoint is
rehearsed in the background.
"""

import errno
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from ckptkit_sb3 import CheckpointBoundary, Sb3Backend
from ckptkit_sb3.progress import episodes_of

from ckptkit.backend import SaveContext, SavedItem
from ckptkit.errors import DiskFullError, LockedError
from ckptkit.retention import RetentionPolicy
from ckptkit.store import CheckpointStore, Details
from ckptkit.store.observing import Observer, Prove
from ckptkit_hooks.sb3 import mean_reward
from ckptkit_hooks.sb3_episode_files import METADATA, MODEL, Found, flat_name, stem_of
from ckptkit_hooks.sb3_proof import notes_for

Listener = Callable[[Literal["saved", "pruned"], int, Path], object]
"""Called after a commit and after a removal, with which of the two it was, the episode and the zip."""
_ITEM = "agent"
_LOG = logging.getLogger(__name__)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SPARE = 1 << 20
_ADVICE = (
    "reduce keep_last_n_checkpoints (or trash_hours), increase checkpoint_interval_episodes, clean up old checkpoints "
    "with `ckptkit prune`, or use a checkpoint_dir with more space; then resume"
)


class EpisodeCheckpoints:
    """The checkpoints of one run.

    Args:
        store: the store.
        run: name of the run, for example ``ppo_agent/run123``.
        config: JSON values that a later run may take over; kept in the metadata and in the manifest.
        keep_last_n: how many of the newest that verify are kept.
        trash_hours: how long a removed one can be taken back.
        resume: argument list that resumes from a checkpoint, with fields such as ``{path}`` (its zip).
        began_from: the checkpoint that the run continues; the run's first own checkpoint names it as its parent.
        listener: called after each save and removal; what it raises is logged.
        prove: after which save the run proves itself; see ``CheckpointStore.observe``.

    Example:
        >>> found = find_checkpoint(zip_file)  # to go on; else None
        >>> resumed = load_agent(found, model)
        >>> kept = EpisodeCheckpoints(store, "ppo_agent/run124", resume=command, began_from=found)
        >>> resumed.learn(1_000_000, callback=kept.callback(every_episodes=50))
        >>> kept.save(model)
    """

    def __init__(
        self,
        store: CheckpointStore,
        run: str,
        *,
        config: Mapping[str, Any] | None = None,
        keep_last_n: int = 3,
        trash_hours: float = 24.0,
        resume: Sequence[str] | None = None,
        began_from: Found | None = None,
        listener: Listener | None = None,
        prove: Prove = "first",
    ) -> None:
        self._store = store
        self._run = run
        self._folder = store.storage.run_folder(run)
        self._config = dict(config or {})
        self._retention = RetentionPolicy(keep_last=keep_last_n)
        self._grace = timedelta(hours=trash_hours)
        self._resume = resume
        self._began_from = began_from
        self._listener = listener
        self._prove = prove
        self._backend = Sb3Backend()
        self._observer: Observer | None = None
        self._passed = 0 if began_from is None else began_from.episode

    def callback(self, *, every_episodes: int | None) -> Any:
        """Return the SB3 callback that saves at the next clean boundary after this many episodes; None: never."""
        return CheckpointBoundary(self.save, every_episodes=every_episodes, note=self.note)

    def save(self, model: Any) -> None:
        """Save the agent, whose state must be clean; then prune.

        Raises:
            DiskFullError: there is not enough room; nothing was committed, and older checkpoints are as they were.
            CkptkitError: the state could not be saved.
        """
        self._observed(model)
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            if shutil.disk_usage(self._folder).free < self._backend.estimate_bytes(model) + _SPARE:
                raise OSError(errno.ENOSPC, "no space left on device")
            with self._store.staged(self._run) as staged:
                saved = self._backend.save(model, staged, context=SaveContext(step=0, item=_ITEM))
                episode = int(saved.counters.get("episode", 0))
                path = self._folder / f"{stem_of(episode)}.zip"
                if self._is_safe(episode):
                    return  # training ended inside the episode after it: from there it comes to the same end
                self._publish(model, saved, staged, path, episode)
        except Exception as error:
            if _is_full(error):
                raise DiskFullError(f"{self._folder}: no room for another checkpoint", hint=_ADVICE) from error
            raise
        self._passed = max(self._passed, episode)
        self._tell("saved", episode)
        self._prune()

    def note(self, model: Any) -> None:
        """Note a clean boundary after an update, for the run's proof; ``callback`` does so by itself."""
        episode = episodes_of(model) or 0
        if episode > self._passed:  # notes are counted as checkpoints are; a boundary in the same episode has no number
            self._passed = episode
            self._observed(model).note(episode, {_ITEM: model})

    def save_final(self, model: Any) -> Path:
        """Write the trained agent as ``final_model.zip``, an ordinary SB3 zip; return its path."""
        path = self._folder / "final_model.zip"
        temporary = path.with_name(".final_model.zip")
        model.save(temporary)
        _flush(temporary)
        os.replace(temporary, path)
        return path

    def _observed(self, model: Any) -> Observer:
        if self._observer is None:
            found = self._began_from
            if found is not None and found.parent is not None and self._is_here(found):
                self._store.resumed(f"{found.parent[0]}@{found.parent[1]}")
            self._observer = self._store.observe(
                self._run, steps=notes_for(model), prove=self._prove, note_after="every", resume=self._resume
            )
        return self._observer

    def _is_here(self, found: Found) -> bool:
        parent = found.parent[0] if found.parent else "."
        return self._store.storage.run_folder(parent).resolve() == found.path.parent.resolve()

    def _is_safe(self, episode: int) -> bool:
        """Return whether the episode was saved; a damaged checkpoint of it, left by a fallback, makes room."""
        if not any(at.step == episode for at in self._store.storage.scan(self._run)):
            return False
        return any(found.good for found in self._store.verify(f"{self._run}@{episode}").checkpoints)

    def _publish(self, model: Any, saved: SavedItem, staged: Path, path: Path, episode: int) -> None:
        """Put the files in place, the zip last, and commit; until then nothing lists them."""
        extra: dict[str, Any] = {"num_timesteps": saved.counters["num_timesteps"], "grade": saved.captured.grade}
        if self._began_from is not None:
            extra["resumed_from"] = str(self._began_from.path)
        metadata = {
            "episode": episode,
            "run_id": self._run.rpartition("/")[2],
            "config": self._config,
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "extra_state": extra,
        }
        (staged / METADATA).write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
        beside = [METADATA, *sorted({p.name for p in staged.iterdir()} - {MODEL, METADATA})]
        places = {name: path.with_name(flat_name(path.stem, name)) for name in [*beside, MODEL]}
        details = Details(
            metrics=mean_reward(model),
            config=self._config,
            resume=self._resume,
            cwd=str(Path.cwd()),
            parent=None if self._began_from is None else self._began_from.parent,
            boundary=saved.boundary,
        )
        try:
            for name, place in places.items():
                _flush(staged / name)
                os.replace(staged / name, place)
            _flush(path.parent)
            files = [path, *(places[name] for name in beside)]
            self._store.adopt_in_place(self._run, path.stem, {_ITEM: files}, details, saved={_ITEM: saved})
        except BaseException:
            if not path.with_name(f"{path.stem}.manifest.json").exists():
                for place in places.values():
                    place.unlink(missing_ok=True)
            raise

    def _prune(self) -> None:
        try:
            done = self._store.prune(self._store.plan_prune(self._retention, run=self._run, grace=self._grace))
        except LockedError as error:
            _LOG.warning("%s; the next checkpoint tries again", error)
            return
        for line in done.failures:
            _LOG.warning("not pruned: %s", line)
        for at in done.removed:
            self._tell("pruned", at.step or 0)

    def _tell(self, kind: Literal["saved", "pruned"], episode: int) -> None:
        path = self._folder / f"{stem_of(episode)}.zip"
        try:
            if self._listener is not None:
                self._listener(kind, episode, path)
        except Exception:  # the checkpoint is safe, whatever happens to the record of it
            _LOG.exception("a listener failed at %s %s", kind, path.name)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, DiskFullError) or (isinstance(error, OSError) and error.errno in _FULL):
            return True
        error = error.__cause__ or error.__context__
    return False
