"""Saving: every file of a checkpoint is complete and on the disk before the manifest beside them makes it one."""

import errno
import json
import logging
import os
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from ckptkit_sb3 import Sb3Backend

from ckptkit import CheckpointStore
from ckptkit.backend import SaveContext, SavedItem
from ckptkit.errors import DiskFullError, LockedError
from ckptkit.retention import RetentionPolicy
from ckptkit.storage import staging
from ckptkit.store import Details
from training import layout
from training.config import TrainingConfig
from training.run import Event, Listener, TrainingRun

TRAINER = Path(__file__).resolve().with_name("trainer.py")
_LOG = logging.getLogger(__name__)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SPARE = 1 << 20
_ADVICE = (
    "reduce keep_last_n_checkpoints (or trash_hours), increase checkpoint_interval_episodes, clean up old checkpoints "
    "with `ckptkit prune`, or use a checkpoint_dir with more space; then resume"
)


class CheckpointWriter:
    """Saves the checkpoints of one run, keeps the last N of them that verify, and tells the listeners."""

    def __init__(
        self, store: CheckpointStore, run: TrainingRun, config: TrainingConfig, listeners: Sequence[Listener]
    ) -> None:
        self._store = store
        self._run = run
        self._config = config
        self._listeners = listeners
        self._backend = Sb3Backend()

    def save(self, model: Any) -> None:
        """Save the agent, whose state must be clean; then prune.

        Raises:
            DiskFullError: there is not enough room; nothing was committed, and older checkpoints are as they were.
            CkptkitError: the state could not be saved.
        """
        folder = self._run.folder
        folder.mkdir(parents=True, exist_ok=True)
        try:
            if shutil.disk_usage(folder).free < self._backend.estimate_bytes(model) + _SPARE:
                raise OSError(errno.ENOSPC, "no space left on device")
            with staging.staged(self._store.storage.state_folder(self._run.name)) as staged:
                saved = self._backend.save(model, staged, context=SaveContext(step=0, item="agent", probe=False))
                episode = int(saved.counters.get("episode", 0))
                path = folder / f"{layout.stem_of(episode)}.zip"
                if self._is_safe(episode):
                    return  # training ended inside the episode after it: from there it comes to the same end
                self._publish(model, saved, staged, path)
        except Exception as error:
            if _is_full(error):
                raise DiskFullError(f"{folder}: no room for another checkpoint", hint=_ADVICE) from error
            raise
        self._tell("saved", episode)
        self._prune()

    def _is_safe(self, episode: int) -> bool:
        """Return whether the episode was saved; a damaged checkpoint of it, which a fallback left, makes room."""
        if not any(at.step == episode for at in self._store.storage.scan(self._run.name)):
            return False
        return any(found.good for found in self._store.verify(f"{self._run.name}@{episode}").checkpoints)

    def save_final(self, model: Any) -> Path:
        """Write the trained agent as ``final_model.zip``, an ordinary SB3 zip; return its path."""
        path = self._run.folder / "final_model.zip"
        temporary = path.with_name(".final_model.zip")
        model.save(temporary)
        _flush(temporary)
        os.replace(temporary, path)
        return path

    def _publish(self, model: Any, saved: SavedItem, staged: Path, path: Path) -> None:
        """Put the files in place, the zip last, and commit: until then nobody lists them."""
        episode = layout.episode_in(path)
        extra: dict[str, Any] = {"num_timesteps": saved.counters["num_timesteps"], "grade": saved.captured.grade}
        if self._run.resumed_from is not None:
            extra["resumed_from"] = str(self._run.resumed_from)
        metadata = {
            "episode": episode,
            "run_id": self._run.run_id,
            "config": self._config.saved(),
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "extra_state": extra,
        }
        (staged / layout.METADATA).write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
        beside = [layout.METADATA, *sorted({p.name for p in staged.iterdir()} - {layout.MODEL, layout.METADATA})]
        places = {name: path.with_name(layout.flat_name(path.stem, name)) for name in [*beside, layout.MODEL]}
        details = Details(
            metrics=_reward(model),
            config=self._config.saved(),
            resume=resume_words(),
            cwd=str(Path.cwd()),
            parent=self._run.parent,
            boundary=saved.boundary,
        )
        try:
            for name, place in places.items():
                _flush(staged / name)
                os.replace(staged / name, place)
            _flush(path.parent)
            self._store.adopt_in_place(
                self._run.name, path.stem, {"agent": [path, *(places[name] for name in beside)]}, details
            )
        except BaseException:
            if not path.with_name(f"{path.stem}.manifest.json").exists():
                for place in places.values():
                    place.unlink(missing_ok=True)
            raise

    def _prune(self) -> None:
        policy = RetentionPolicy(keep_last=self._config.keep_last_n_checkpoints)
        grace = timedelta(hours=self._config.trash_hours)
        try:
            done = self._store.prune(self._store.plan_prune(policy, run=self._run.name, grace=grace))
        except LockedError as error:
            _LOG.warning("%s; the next checkpoint tries again", error)
            return
        for line in done.failures:
            _LOG.warning("not pruned: %s", line)
        for at in done.removed:
            self._tell("pruned", at.step or 0)

    def _tell(self, kind: Literal["saved", "pruned"], episode: int) -> None:
        event = Event(kind, self._run, episode, self._run.folder / f"{layout.stem_of(episode)}.zip")
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # the checkpoint is safe, whatever happens to the record of it
                _LOG.exception("a listener failed at %s %s", kind, event.path.name)


def resume_words() -> list[str]:
    """Return the argument list that goes on from a checkpoint, as a template: ``{path}`` is its zip."""
    here = Path.cwd()
    script = TRAINER.relative_to(here) if TRAINER.is_relative_to(here) else TRAINER
    words = [sys.executable, str(script)]
    return [*(word.replace("{", "{{").replace("}", "}}") for word in words), "--resume-from-checkpoint", "{path}"]


def _reward(model: Any) -> dict[str, float]:
    rewards = [float(episode["r"]) for episode in model.ep_info_buffer or ()]
    return {"ep_rew_mean": sum(rewards) / len(rewards)} if rewards else {}


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
