"""Adopt what a trainer wrote, where it lies: judge it by content, digest it, and write a manifest beside it."""

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ckptkit import durable, registry
from ckptkit.backend import Backend, CheckContext
from ckptkit.catalog import manifests, succession
from ckptkit.catalog.ledger import Ledger
from ckptkit.digest import DEFAULT_ALGORITHM, digest_file
from ckptkit.errors import CkptkitError, ConflictError, UnknownBackendError, UsageError
from ckptkit.layouts import ADOPTED
from ckptkit.layouts.adopted import adopted_name, main_of
from ckptkit.manifest.models import Manifest
from ckptkit.manifest.names import check_item_name, check_paths, check_run, check_step, lies_beside
from ckptkit.problem import Problem
from ckptkit.storage import Entry, Storage
from ckptkit.store import item_entries, sealing, stranger, void, writing
from ckptkit.store.details import Details, require_open_run
from ckptkit.store.guests import guest
from ckptkit.verification import Verifier

OnBytes = Callable[[int], None]
_UNWRITABLE = (errno.EROFS, errno.EINVAL, errno.EACCES)
"""What a flush answers on a file system that nobody can write to: there is nothing to flush."""


@dataclass(frozen=True, slots=True)
class Wrote:
    """One item of a checkpoint, as its trainer wrote it.

    Attributes:
        path: the item: a folder, a file, or the prefix of some, right in the folder that is adopted from.
        files: all names that belong to it, right in that folder; of a folder all that is in it. ``path`` alone when
            left out.
        backend: the backend that it is for; found by content when None, else ``files``.
        doubts: what whoever wrote it knows to be missing, one line for each piece.
    """

    path: str
    files: Sequence[str] = ()
    backend: str | None = None
    doubts: Sequence[str] = ()


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


def adopt(
    storage: Storage,
    run: str,
    main: str,
    step: int,
    items: Mapping[str, Wrote],
    details: Details,
    *,
    trainer: str | None = None,
    folder: Path | None = None,
    algorithm: str = DEFAULT_ALGORITHM,
    ledger: Ledger | None = None,
    on_bytes: OnBytes | None = None,
) -> Adopted:
    """Write a manifest beside what a trainer wrote; see ``CheckpointStore.adopt``."""
    details.require_open(items, name=main)
    require_open_run(storage, check_run(run))
    step = check_step(step)
    if not items:
        raise UsageError("a checkpoint needs at least one item")
    storage.require_reachable(run)
    at = Entry(run, adopted_name(main, step), ADOPTED, storage)
    with durable.storage_errors(storage.where_state(run, "")), storage.locked(run, "save"):
        around = _around(storage, run, folder)
        seen = {name: stranger.look(around, wrote.files or (wrote.path,)) for name, wrote in items.items()}
        _require_name(around, main, [path for files in seen.values() for path in files])
        before = succession.last(storage, run)
        there = [] if before.is_beyond(storage, run, step) else storage.at_step(run, step)
        old = manifests.read(at)[0] if at in there else None
        if old is not None and _fits(at, old, seen, ledger):
            return Adopted(at, old, "known")
        _require_free([one for one in there if one != at], main, ledger)
        digested: writing.Digested = {}
        entries = {
            name: _entry(around, name, wrote, seen[name], step, algorithm, digested, on_bytes)
            for name, wrote in items.items()
        }
        warnings = item_entries.lift_warnings(entries)
        made = sealing.fields(storage, run, step, entries, details, before, trainer)
        manifest, data = sealing.seal(made, algorithm)
        item_entries.require_consistent(manifest)
        if seen != {name: stranger.look(around, wrote.files or (wrote.path,)) for name, wrote in items.items()}:
            raise ConflictError(f"{main}: is being written", hint="adopt it again when its trainer has finished it")
        storage.put(at, at.manifest_file, data, replace=at in there)
        succession.note(at, manifest, before)
        cleared = () if str(step) in main else tuple(void.clear(void.before(at)))
    return Adopted(at, manifest, "again" if at in there else "new", warnings, cleared, digested)


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
    around = storage.adopted_from(run) if folder is None else folder
    seen = {name: stranger.look(around, wrote.files or (wrote.path,)) for name, wrote in items.items()}
    manifest = manifests.read(at)[0]
    return at if manifest is not None and _fits(at, manifest, seen, ledger) else None


def require_whole(around: Path, items: Mapping[str, Wrote], step: int) -> None:
    """Raise what would keep ``adopt`` from taking it, as far as its content tells; nothing is written.

    Raises:
        CkptkitError: as of ``CheckpointStore.adopt``.
    """
    for name, wrote in items.items():
        _entry(around, name, wrote, stranger.look(around, wrote.files or (wrote.path,)), step, None, {})


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


def _around(storage: Storage, run: str, folder: Path | None) -> Path:
    """Return the folder that is adopted from, and note it where it is not the run's own."""
    if folder is None:
        return storage.adopted_from(run)
    try:
        now: Path | None = storage.adopted_from(run)
    except CkptkitError:  # of another store, or damaged: this is what "adopt it again" means
        now = None
    if now is not None and now.resolve() == folder.resolve():
        return now
    if now is not None and (has := next((one for one in storage.scan(run) if one.layout is ADOPTED), None)):
        raise ConflictError(f"{run}: has {has.ref}, which lies in {now}, not in {folder}", hint="give another --run")
    storage.adopt_from(run, folder)
    return storage.adopted_from(run)


def _require_name(around: Path, main: str, files: Sequence[str]) -> None:
    """Raise where these names cannot be a checkpoint's: unsafe ones, and what is a checkpoint of ours already."""
    check_paths([main, *(path for path in files if path != main)])
    if "/" in main or not os.path.lexists(around / main):
        raise UsageError(f"{main!r}: is no name right in {around}", hint="name the checkpoint's file or folder")
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


def _fits(at: Entry, manifest: Manifest, seen: Mapping[str, stranger.Look], ledger: Ledger | None) -> bool:
    """Return whether what was adopted is unchanged since; its files are read only where nothing else tells."""
    now = {path: stamp for files in seen.values() for path, stamp in files.items()}
    listed = {file.path: file.size for item in manifest.items.values() for file in item.files}
    if listed != {path: stamp[0] for path, stamp in now.items()} or manifest.items.keys() != seen.keys():
        return False
    known = None if ledger is None else ledger.one(at.run, at.name)
    if known is not None and Verifier("presence", ledger=ledger).trusts(at, known):
        return True
    here = at.storage.folder(at) == at.storage.run_folder(at.run)  # else the two have clocks of their own
    written = at.storage.stat(at, at.manifest_file).stamp[1]
    if here and all(max(stamp[1], stamp[2]) <= written for stamp in now.values()):
        return True
    return Verifier("digest", ledger=ledger).verify(at).good


def _entry(
    around: Path,
    name: str,
    wrote: Wrote,
    seen: stranger.Look,
    step: int,
    algorithm: str | None,
    digested: writing.Digested,
    on_bytes: OnBytes | None = None,
) -> dict[str, Any]:
    """Return the manifest's fields of an item; without an algorithm it is judged, and not digested."""
    check_item_name(name)
    path = around / wrote.path
    inside = path.is_dir() and all(file.startswith(f"{wrote.path}/") for file in seen)
    folder, prefix = (path, f"{wrote.path}/") if inside else (around, "")
    backend = _backend(path, name, wrote.backend)
    files: list[item_entries.FileFields] = []
    for file, stamp in seen.items():
        size, digest = stamp[0], ""
        if algorithm is not None:
            _flush(around / file)
            writing.note_before(around / file, digested)
            size, digest = digest_file(around / file, algorithm, on_bytes=on_bytes)
        files.append({"path": file, "size": size, "digest": digest})
    context = CheckContext([file.removeprefix(prefix) for file in seen], step=step, source=path)
    with guest(name, backend):
        described = item_entries.describe(name, backend, folder, context)
    described = replace(described, captured=described.captured.doubted(wrote.doubts))
    return {**item_entries.entry(name, backend, folder, described, files, step, prefix), "path": wrote.path}


def _backend(path: Path, name: str, wanted: str | None) -> Backend:
    try:
        return registry.for_path(path, name=name, backend=wanted)[0]
    except UnknownBackendError:
        if wanted is not None:
            raise
        return registry.get("files")  # its check tells what is damaged


def _flush(path: Path) -> None:
    """Make a file last as its manifest will: trainers seldom do."""
    try:
        durable.fsync_path(path)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
