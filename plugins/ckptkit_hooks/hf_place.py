"""Where the checkpoints of a Hugging Face Trainer are kept: where it writes them, or copied into a store elsewhere."""

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ckptkit_files import Written

import ckptkit
from ckptkit.backend import Captured
from ckptkit.errors import BackendError, CkptkitError, StoreError, UsageError
from ckptkit.scratch import redirected
from ckptkit.store import CheckpointStore, Chosen, foreign
from ckptkit.store.observing import Observer
from ckptkit.trainers import finding
from ckptkit_hooks import torch_proof
from ckptkit_hooks.arguments import Arguments
from ckptkit_hooks.hf_loop import FILE_NAME
from ckptkit_hooks.keeper import Keeper

KIND = "hf_trainer"
_ITEM, _COPIED, _NOTE = "model", "trainer", "data"
_BESIDE = f"ckptkit_{FILE_NAME}"
"""What the Trainer's checkpoint lacks, in its folder: both go together, whoever removes it."""
_LOG = logging.getLogger("ckptkit_hooks")


class Place:
    """The checkpoints of one run; where they are is known once the Trainer's arguments are.

    Args:
        store: the store, or its path; None: the Trainer's ``output_dir``.
        run: name of the run; None: as ``output_dir`` is called in the store.
        said: how the hook was made.
    """

    def __init__(self, store: CheckpointStore | str | Path | None, run: str | None, said: Arguments) -> None:
        self._store, self._run, self._said = store, run, said
        self._keeper: Keeper | None = None
        self._observer: Observer | None = None
        self._met = False
        self.in_place = False
        if store is not None and run is not None:  # what is wrong with them is told before anything is built
            self._open(store, run)

    @property
    def keeper(self) -> Keeper:
        """What keeps them; raises BackendError before the Trainer was met."""
        if self._keeper is None:
            raise BackendError(
                "this hook has met no Trainer: hand it to the Trainer before anything else is asked of it"
            )
        return self._keeper

    @property
    def observer(self) -> Observer:
        """What notes the steps after a save; raises BackendError before the Trainer was met."""
        self.keeper  # noqa: B018 - both are made together
        assert self._observer is not None
        return self._observer

    def meet(self, args: Any) -> None:
        """Learn where the Trainer writes; in a rehearsal, make it write into the scratch folder.

        Raises:
            UsageError: ``output_dir`` is not in the store, and no run was named.
        """
        if self._met:
            return
        self._met = True
        output = _redirected(Path(args.output_dir))
        if self._keeper is None:
            self._open(self._store or args.output_dir, self._run or self._name_of(output))
        storage = self.keeper.store.storage
        try:
            self.in_place = storage.run_folder(self.keeper.run).resolve() == output.resolve()
        except StoreError:  # it is not on a file system
            self.in_place = False
        torch_proof.keep_trainer_apart(args)
        if self.in_place:
            self._advise(args)
            if ckptkit.rehearsing() is not None:
                args.output_dir = str(output)

    def _open(self, store: CheckpointStore | str | Path, run: str) -> None:
        said = self._said
        self._keeper = Keeper.of(store, run, said)
        self._observer = self._keeper.store.observe(run, prove=said.prove, resume=said.resume)

    def _name_of(self, output: Path) -> str:
        if self._store is None:
            return "."
        storage = (self._store if isinstance(self._store, CheckpointStore) else CheckpointStore(self._store)).storage
        try:
            root = storage.run_folder(".").resolve()
        except StoreError:  # it is not on a file system
            root = None
        if root is None or not output.resolve().is_relative_to(root):
            raise UsageError(
                f"output_dir {output} is not in the store {storage.url}, so the run has no name",
                hint="give the hook a run too: then each checkpoint is copied; or no store: then none is",
            )
        return output.resolve().relative_to(root).as_posix()

    def _advise(self, args: Any) -> None:
        if self._said.retain is None:
            return
        if args.save_total_limit:
            _LOG.warning(
                "save_total_limit=%s removes checkpoints for good, also those that retain would keep: leave it out",
                args.save_total_limit,
            )
        if args.load_best_model_at_end and not self._said.retain.keep_best:
            _LOG.warning(
                "load_best_model_at_end needs the best checkpoint: retain=Retain(..., best=1, metric=%r, mode=%r)",
                args.metric_for_best_model,
                "max" if args.greater_is_better else "min",
            )

    def newest(self, ref: str | None) -> Chosen | None:
        """Return the newest checkpoint that verifies; what the Trainer finished before it was killed counts."""
        if self.in_place:
            self._take_in()
        return self.keeper.newest(ref)

    def _take_in(self) -> None:
        store, folder = self.keeper.store, self.keeper.store.storage.run_folder(self.keeper.run)
        if not folder.is_dir():
            return
        taking = foreign.TakingIn(store, foreign.Places(store.storage.url, store.storage.run_folder(".").resolve()))
        found = [one for one in finding.below(folder.resolve(), deep=False) if one.kind == KIND and not one.adopted]
        for outcome in taking.take(found):
            if not outcome.listed:
                why = "; ".join([*outcome.reasons, *([outcome.error.message] if outcome.error else [])])
                _LOG.warning("%s: not adopted: %s", outcome.path.name, why)
        for line in taking.clear([self.keeper.run]):
            _LOG.info("%s", line)

    def save(
        self, step: int, folder: Path, told: Mapping[str, Any], reasons: Sequence[str], metrics: Mapping[str, float]
    ) -> str:
        """Keep what the Trainer has just finished; returns its name, and raises as ``Keeper.save``.

        Args:
            step: the step.
            folder: what the Trainer wrote.
            told: what its checkpoint lacks, as JSON.
            reasons: one line for each piece that is not in it.
            metrics: what was logged.
        """
        if self.in_place:
            (folder / _BESIDE).write_text(json.dumps(told))
            return self.keeper.adopt(step, folder.name, item=_ITEM, trainer=KIND, doubts=reasons, metrics=metrics)
        captured = Captured("partial", reasons) if reasons else Captured()
        with tempfile.TemporaryDirectory(prefix="ckptkit-") as place:
            note = Path(place, FILE_NAME)
            note.write_text(json.dumps(told))
            items = {_COPIED: folder, _NOTE: Written({note.name: note}, captured, step)}
            return self.keeper.save(step, items, metrics=metrics)


def folder_of(chosen: Chosen) -> Path:
    """Return the folder that the Trainer wrote, where it lies now: a copy, where the store has no folder for it."""
    return _written_in(chosen.fetched(), chosen)


def note_of(chosen: Chosen) -> Path | None:
    """Return the file with what the Trainer's checkpoint lacks; None where this hook did not write it."""
    files = chosen.fetched().absolute()
    places = (files / _NOTE / FILE_NAME, _written_in(files, chosen) / _BESIDE)
    return next((path for path in places if path.is_file()), None)


def _written_in(files: Path, chosen: Chosen) -> Path:
    item = chosen.manifest.items.get(_COPIED) or next(iter(chosen.manifest.items.values()))
    return files.absolute() / (item.path or _COPIED)


def _redirected(output: Path) -> Path:
    try:
        return redirected(output)
    except CkptkitError:  # the store is in it
        return output
