"""Adopt what a trainer wrote, where it lies: judge it by content, digest it, and write a manifest beside it."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ckptkit import durable
from ckptkit.catalog import manifests, succession
from ckptkit.catalog.ledger import Ledger
from ckptkit.catalog.succession import Last
from ckptkit.digest import DEFAULT_ALGORITHM
from ckptkit.errors import CkptkitError, ConflictError, NotFoundError, UsageError
from ckptkit.layouts import ADOPTED
from ckptkit.layouts.adopted import adopted_name, main_of
from ckptkit.manifest.models import Manifest
from ckptkit.manifest.names import check_paths, check_run, check_step, lies_beside
from ckptkit.problem import Problem
from ckptkit.storage import Entry, Storage
from ckptkit.store import item_entries, sealing, stranger, void, writing
from ckptkit.store.around import Around, is_apart
from ckptkit.store.committed import Committed
from ckptkit.store.details import Details, require_open_run
from ckptkit.store.stranger_item import OnBytes, Wrote, entry
from ckptkit.verification import Verifier


@dataclass(frozen=True, slots=True)
class Adopted:
    """What came of adopting one checkpoint.

    Attributes:
        at: where it is.
        manifest: its manifest.
        how: ``new``; ``again``: the trainer had changed it since it was adopted; ``known``: it had not, and nothing was
            read or written.
        warnings: what was found in the files and does not forbid to resume from them.
        cleared: names of manifests that had become void, one line each.
    """

    at: Entry
    manifest: Manifest
    how: Literal["new", "again", "known"]
    warnings: Sequence[Problem] = ()
    cleared: Sequence[str] = ()
    digested: writing.Digested = field(default_factory=dict)

    @property
    def committed(self) -> Committed:
        """What a save would say of it."""
        return Committed(self.at, self.manifest, warnings=self.warnings)


@dataclass(slots=True, eq=False)
class Begun:
    """A checkpoint that may be adopted; ``finish`` reads it and writes its manifest, once, on any thread."""

    at: Entry
    main: str
    step: int
    items: Mapping[str, Wrote]
    details: Details
    trainer: str | None
    algorithm: str
    on_bytes: OnBytes | None
    around: Around
    seen: Mapping[str, stranger.Look]
    before: Last
    again: bool
    known: Manifest | None
    surroundings: Mapping[str, Any]
    held: contextlib.ExitStack

    def finish(self) -> Adopted:
        """Digest it, and write its manifest.

        Raises:
            NotFoundError: its trainer has removed it meanwhile, or removes it just now.
            ConflictError: its trainer is writing it.
            CkptkitError: it cannot be adopted; see ``CheckpointStore.adopt``. Nothing was written in all these cases.
        """
        at = self.at
        with durable.storage_errors(at.storage.where_state(at.run, "")), self.held:
            if self.known is not None:
                return Adopted(at, self.known, "known")
            digested: writing.Digested = {}
            try:
                manifest, data, warnings = self._read(digested)
                if self.around.looked_at(self.items) != self.seen:
                    hint = "adopt it again when its trainer has finished it"
                    raise ConflictError(f"{self.main}: is being written", hint=hint)
            except (CkptkitError, OSError):
                self._require_there()
                raise
            self.around.make_names_last(self.seen, first=self.before.sequence == 0)
            at.storage.put(at, at.manifest_file, data, replace=self.again)
            succession.note(at, manifest, self.before)
            cleared = () if str(self.step) in self.main else tuple(void.clear(void.before(at)))
        return Adopted(at, manifest, "again" if self.again else "new", warnings, cleared, digested)

    def _read(self, digested: writing.Digested) -> tuple[Manifest, bytes, Sequence[Problem]]:
        self.around.make_last(self.seen)
        entries = {
            name: entry(
                self.around.folder, name, wrote, self.seen[name], self.step, self.algorithm, digested, self.on_bytes
            )
            for name, wrote in self.items.items()
        }
        warnings = item_entries.lift_warnings(entries)
        environ = sealing.brought_by(self.surroundings, (fields["backend"] for fields in entries.values()))
        at = self.at
        made = sealing.fields(
            at.storage, at.run, self.step, entries, self.details, self.before, self.trainer, environ=environ
        )
        manifest, data = sealing.seal(made, self.algorithm)
        item_entries.require_consistent(manifest)
        return manifest, data, warnings

    def _require_there(self) -> None:
        """Raise NotFoundError where files are gone, and those that are left are as they were."""
        try:
            now = self.around.looked_at(self.items)
        except NotFoundError:
            now = {}
        if all(now.get(name, {}).items() <= files.items() for name, files in self.seen.items()) and now != self.seen:
            raise NotFoundError(
                f"{self.main}: its trainer removed it before it was adopted", hint="let the trainer keep one more"
            )


def begin(
    storage: Storage,
    run: str,
    main: str,
    step: int,
    items: Mapping[str, Wrote],
    details: Details,
    *,
    trainer: str | None = None,
    folder: Path | None = None,
    copy: Path | None = None,
    algorithm: str = DEFAULT_ALGORITHM,
    ledger: Ledger | None = None,
    on_bytes: OnBytes | None = None,
) -> Begun:
    """Look whether it can be adopted, and at what is there; see ``CheckpointStore.adopt``.

    Of files on a service a checked copy is read, which is made unless ``copy`` is a folder that has one already.

    Raises:
        CkptkitError: it cannot, and nothing was changed.
    """
    details.require_open(items, name=main)
    require_open_run(storage, check_run(run))
    step = check_step(step)
    if not items:
        raise UsageError("a checkpoint needs at least one item")
    storage.require_reachable(run)
    at = Entry(run, adopted_name(main, step), ADOPTED, storage)
    with durable.storage_errors(storage.where_state(run, "")), contextlib.ExitStack() as held:
        held.enter_context(storage.locked(run, "save"))
        around = _around(at, folder, copy)
        seen = around.looked_at(items)
        _require_name(around, main, [path for files in seen.values() for path in files])
        before = succession.last(storage, run)
        there = [] if before.is_beyond(storage, run, step) else storage.at_step(run, step)
        old = manifests.read(at)[0] if at in there else None
        known = old if old is not None and around.unchanged(old, seen, ledger) else None
        if known is None:
            _require_free([one for one in there if one != at], main, ledger)
            around.bring(seen, held)
        return Begun(
            at=at,
            main=main,
            step=step,
            items=dict(items),
            details=details,
            trainer=trainer,
            algorithm=algorithm,
            on_bytes=on_bytes,
            around=around,
            seen=seen,
            before=before,
            again=at in there,
            known=known,
            surroundings={} if known is not None else sealing.surroundings(()),
            held=held.pop_all(),
        )


def known(
    storage: Storage,
    run: str,
    main: str,
    step: int,
    items: Mapping[str, Wrote],
    *,
    folder: Path | None = None,
    ledger: Ledger | None = None,
) -> Entry | None:
    """Return the checkpoint that was adopted, where it is unchanged since; nothing is written. See ``adopt``."""
    at = Entry(run, adopted_name(main, step), ADOPTED, storage)
    if not storage.has_run(run) or at.identity is None:  # of thousands, none lists the folder
        return None
    storage.require_reachable(run)
    around = Around(at, folder) if is_apart(storage) else Around(at, folder or storage.adopted_from(run))
    manifest = manifests.read(at)[0]
    return at if manifest is not None and around.unchanged(manifest, around.looked_at(items), ledger) else None


def clear(storage: Storage, run: str) -> list[str]:
    """Take away the manifests of what its trainer has removed, or has written again as another step; one line each."""
    with storage.locked(run, "save"):
        return void.clear(void.of(storage, run))


def withdraw(storage: Storage, run: str, main: str, step: int, now: Mapping[str, int]) -> list[str]:
    """Take away the manifest of one whose trainer writes more of it now, so that nobody resumes from half of it.

    Of one that was damaged since it stays: it tells what is.

    Args:
        storage: of the store.
        run: its run.
        main: name of its folder or main file.
        step: its step.
        now: the sizes of all files that belong to it.
    """
    at = Entry(run, adopted_name(main, step), ADOPTED, storage)
    if not storage.has_run(run) or at not in storage.at_step(run, step):
        return []
    with storage.locked(run, "save"):
        manifest = manifests.read(at)[0]
        listed = {file.path: file.size for item in manifest.items.values() for file in item.files} if manifest else {}
        more = listed and len(now) > len(listed) and listed.items() <= now.items()
        return void.clear({at: "its trainer is still writing it"}) if more else []


def _around(at: Entry, folder: Path | None, copy: Path | None) -> Around:
    """Return the folder that is adopted from, and note it where it is not the run's own."""
    storage, run = at.storage, at.run
    if is_apart(storage):
        return Around(at, copy)
    if folder is None:
        return Around(at, storage.adopted_from(run))
    try:
        now: Path | None = storage.adopted_from(run)
    except CkptkitError:  # of another store, or damaged: this is what "adopt it again" means
        now = None
    if now is not None and now.resolve() == folder.resolve():
        return Around(at, now)
    if now is not None and (has := next((one for one in storage.scan(run) if one.layout is ADOPTED), None)):
        raise ConflictError(f"{run}: has {has.ref}, which lies in {now}, not in {folder}", hint="give another --run")
    storage.adopt_from(run, folder)
    return Around(at, storage.adopted_from(run))


def _require_name(around: Around, main: str, files: Sequence[str]) -> None:
    """Raise where these names cannot be a checkpoint's: unsafe ones, and what is a checkpoint of ours already."""
    check_paths([main, *(path for path in files if path != main)])
    if "/" in main or not around.has(main, files):
        raise UsageError(f"{main!r}: is no name right in {around.where}", hint="name the checkpoint's file or folder")
    if strange := next((path for path in files if not lies_beside(ADOPTED, path)), None):
        raise UsageError(f"{strange}: has a name that ckptkit needs for itself", hint="is it a checkpoint already?")


def _require_free(there: Sequence[Entry], main: str, ledger: Ledger | None) -> None:
    """Raise ConflictError where another checkpoint has the step, and verifies or cannot be judged here."""
    for one in there:
        found = Verifier(ledger=ledger, trust_unchanged=True).verify(one)
        if found.good or found.not_judged:
            raise ConflictError(
                f"{main}: {one.ref} is {main_of(one.name) or one.name} already",
                hint="two claim one step: adopt one of them, or give another --run; nothing was changed",
            )
