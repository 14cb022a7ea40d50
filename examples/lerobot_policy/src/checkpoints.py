"""Checkpoints as the document draws them: ``checkpoint-N/`` in the output folder, with ckptkit's manifest inside."""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from ckptkit_safetensors import Policy, SafetensorsBackend
from config import CHANGEABLE, differences
from safetensors.torch import load_file, save_file

from ckptkit import (
    CheckpointStore,
    CkptkitError,
    Committed,
    ConflictError,
    DamagedError,
    InconsistentSetError,
    NotFoundError,
    RefusedError,
    UnsafeContentError,
    UsageError,
)
from ckptkit.backend import CheckContext, LoadContext
from ckptkit.formats import strict_json

MODEL, OPTIMIZER = "policy.safetensors", "optimizer_state.pth"
PROCESSORS = {"preprocessor": "preprocessor_config.json", "postprocessor": "postprocessor_config.json"}
FINAL = (MODEL, *PROCESSORS.values())
_NAME = re.compile(r"checkpoint-(\d{1,12})")
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Found:
    """A checkpoint that was named on the command line.

    Attributes:
        path: its folder, absolute.
        step: the number in its name.
        committed: whether it has a manifest; an older trainer wrote none.
    """

    path: Path
    step: int
    committed: bool


def find(path: str | Path) -> Found:
    """Return the checkpoint at a path.

    Raises:
        NotFoundError: it is not there; the hint names those that are.
        UsageError: its name gives no step.
    """
    folder = Path(path).resolve()
    if not folder.is_dir():
        there = ", ".join(f"{found.path.name}" for found in _all(folder.parent)) or "there is none"
        raise NotFoundError(f"{path}: is not there, or no folder", hint=f"in {folder.parent}: {there}")
    match = _NAME.fullmatch(folder.name)
    if match is None:
        raise UsageError(f"{path}: its name does not give the step", hint="checkpoints are called checkpoint-5000")
    step = int(match[1])
    return Found(folder, step, (folder / _MANIFEST).exists() or _beside(folder, step).exists())


def _beside(folder: Path, step: int) -> Path:
    """Return where ``ckptkit adopt`` puts the manifest."""
    return folder.with_name(f"{folder.name}@{step}.{_MANIFEST}")


def is_adopted(found: Found) -> bool:
    """Return whether an older trainer wrote the checkpoint, and ``ckptkit adopt`` gave it its manifest."""
    if _beside(found.path, found.step).exists():
        return True
    listed = CheckpointStore(found.path.parent.parent).list(found.path.parent.name) if found.committed else ()
    return any(
        one.at.folder.resolve() == found.path and one.summary is not None and list(one.summary.items) == ["policy"]
        for one in listed
    )


def _all(folder: Path) -> list[Found]:
    names = (
        [path for path in folder.iterdir() if path.is_dir() and _NAME.fullmatch(path.name)] if folder.is_dir() else []
    )
    return sorted(map(find, names), key=lambda found: found.step)


class OutputFolder:
    """The output folder of a training: a run of the ckptkit store around it.

    Args:
        path: the folder; created by the first save.
        command: arguments that go on from a checkpoint, see ``CheckpointStore.save``.
        config: what a resume must have in common, beside what else is worth keeping.
    """

    def __init__(self, path: Path, command: Sequence[str], config: Mapping[str, Any]) -> None:
        self.path = path.resolve()
        self.store, self.run = CheckpointStore(self.path.parent), self.path.name
        self._command, self._config = command, config
        self._parent: str | None = None
        self.observer: Any = None  # made when the folder is ready

    def save(self, step: int, items: Mapping[str, Any], loss: float) -> Committed:
        """Save everything as ``checkpoint-STEP``, in one rename."""
        return self.store.save(
            self.run,
            step,
            items,
            metrics={"loss": loss},
            config=self._config,
            resume=self._command,
            parent=self._parent,
            folder=f"checkpoint-{step}",
            flat=True,
        )

    def prepare(self, found: Found | None, *, replace_newer: bool, changed: bool = False) -> list[str]:
        """Make the folder ready before the first step, and return what is worth telling.

        Args:
            found: the checkpoint that training goes on from; None for a start from step 0.
            replace_newer: move checkpoints beyond it to the trash.
            changed: training goes on with another configuration: what was noted of the next steps is no measure.

        Raises:
            StoreError, LockedError: nothing can be saved there, or another process trains this run.
            ConflictError: checkpoints are in the way. Damaged ones make room by themselves when their step is reached;
                those of an older trainer, which cannot be judged, are never touched.
        """
        after = -1 if found is None else found.step
        for other in _all(self.path):
            if other.step > after and not other.committed:
                hint = "move it away, or give another --output_dir"
                raise ConflictError(f"{other.path}: is there already, and has no manifest", hint=hint)
        moved = self.store.prepare(self.run, after=after, replace_newer=replace_newer)
        self.observer = self.store.observe(self.run, steps=4, note_after="every")
        if changed:
            self.observer.note(after, {})  # it then compares nothing with what the other configuration did next
        return [f"moved to the trash: {at.folder}" for at in moved]

    def resume(self, found: Found, items: Mapping[str, Any], *, change: bool) -> tuple[list[str], list[str]]:
        """Put a committed checkpoint back, all of it.

        Args:
            found: the checkpoint.
            items: what it is put into.
            change: go on with another learning rate, or another of the fields that leave all state what it is.

        Returns:
            The fields that are changed, a line each, and what else is worth telling.

        Raises:
            RefusedError: it was trained with another configuration; the message names each field.
            CkptkitError: it does not verify, or does not fit.
        """
        origin = self.store if found.path.parent == self.path else CheckpointStore(found.path.parent.parent)
        ref = f"{found.path.parent.name}@{found.step}"
        chosen = origin.choose(ref)
        if chosen.at.folder.resolve() != found.path:
            raise ConflictError(f"{found.path}: {chosen.at.folder} claims the same step", hint="move one of them away")
        changed = differences(chosen.manifest.config, self._config)
        fixed = [line for line in changed if not (change and line.startswith(CHANGEABLE))]
        if fixed:
            hint = "give it the configuration it was made with; --fine_tune takes its weights into another one"
            if not change and all(line.startswith(CHANGEABLE) for line in fixed):
                hint = "--change_config goes on at its step with the new values"
            raise RefusedError(
                f"{found.path.name}: was trained with another configuration: {'; '.join(fixed)}", hint=hint
            )
        restored = origin.restore(ref, into=items)
        assert restored is not None  # only with missing_ok
        if Path(origin.storage.url) == self.path.parent:
            self._parent = ref
        return changed, list(restored.warnings)

    def write_final(self, last: Path, describe: Mapping[str, Any]) -> None:
        """Copy weights and processors of the last checkpoint into the output folder, each file in one rename."""
        for name in FINAL:
            _replace(self.path / name, lambda target, name=name: shutil.copyfile(last / name, target))
        text = strict_json.dumps(dict(describe), indent=2)
        _replace(self.path / "config.json", lambda target: target.write_bytes(text))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    new = path.with_name(f".{path.name}.new")
    write(new)
    with new.open("rb") as stream:
        os.fsync(stream.fileno())
    new.replace(path)


def load_older(found: Found, policy: Policy) -> dict[str, Any]:
    """Put back a checkpoint that an older trainer wrote, adopted or not; returns the processors that it has.

    Args:
        found: the checkpoint.
        policy: model and, unless only the weights are wanted, optimizer.

    Raises:
        NotFoundError: weights or optimizer are missing.
        InconsistentSetError: the number in its name is not the number of steps that its optimizer made.
        DamagedError, UnsafeContentError, BackendError: a file is not what it should be, or does not fit.
    """
    for name in (MODEL, *([OPTIMIZER] if policy.optimizer is not None else [])):
        if not (found.path / name).is_file():
            hint = "--fine_tune takes the weights alone" if name == OPTIMIZER else "resume from another checkpoint"
            raise NotFoundError(f"{found.path.name}: {name} is missing", hint=hint)
    if found.committed:
        CheckpointStore(found.path.parent.parent).choose(f"{found.path.parent.name}@{found.step}")  # is it whole?
    elif (found.path / "rng.json").exists():
        raise DamagedError(f"{found.path.name}: lost its manifest", hint="resume from another checkpoint")
    wanted = [MODEL, *PROCESSORS.values(), *([OPTIMIZER] if policy.optimizer is not None else [])]
    files = [name for name in wanted if (found.path / name).is_file()]
    backend = SafetensorsBackend()
    try:
        for problem in backend.check(found.path, context=CheckContext(files)):
            kind = UnsafeContentError if problem.severity == "unsafe" else DamagedError
            if problem.severity != "warning" and problem.file in files:
                raise kind(f"{problem.file}: {problem.message}")
        backend.describe(found.path, context=CheckContext(files, source=found.path))
        if OPTIMIZER in files:
            _require_step(found)
        with _alone(found.path, files) as folder:
            backend.load(folder, target=policy, context=LoadContext(files))
    except CkptkitError as error:
        error.reason = f"{found.path.name}: {error.reason}"
        raise
    return _processors(found)


@contextmanager
def _alone(source: Path, files: Sequence[str]) -> Iterator[Path]:
    """Yield a copy of the files in which the weights do not speak of others: four files of ours may stand alone too."""
    with TemporaryDirectory() as folder:
        for name in files:
            if name != MODEL:
                shutil.copyfile(source / name, Path(folder, name))
        save_file(load_file(source / MODEL), Path(folder, MODEL))
        yield Path(folder)


def _require_step(found: Found) -> None:
    state = torch.load(found.path / OPTIMIZER, map_location="cpu", weights_only=True)
    steps = {int(entry["step"]) for entry in state.get("state", {}).values() if "step" in entry}
    if steps and steps != {found.step}:
        made = ", ".join(map(str, sorted(steps)))
        raise InconsistentSetError(
            f"its name says step {found.step}, its optimizer made {made}", hint="was the folder renamed?"
        )


def load_weights(found: Found, model: Any) -> dict[str, Any]:
    """Put the weights alone into a model, and return the checkpoint's processors that are there.

    Raises:
        CkptkitError: the checkpoint does not verify, or the weights do not fit.
    """
    if found.committed and not is_adopted(found):
        store = CheckpointStore(found.path.parent.parent)
        store.restore(f"{found.path.parent.name}@{found.step}", into={"policy": model})
        return _processors(found)
    return load_older(found, Policy(model, gradients=False))


def _processors(found: Found) -> dict[str, Any]:
    there = {part: found.path / name for part, name in PROCESSORS.items()}
    return {part: strict_json.load(path) for part, path in there.items() if path.is_file()}
