"""Save one checkpoint: preflight, capture; write, check, seal, commit. Or write a manifest beside files that stay."""

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ckptkit import durable, registry
from ckptkit.backend import CheckContext, SavedItem
from ckptkit.catalog import beside_others, refs, succession
from ckptkit.catalog.succession import Last
from ckptkit.digest import DEFAULT_ALGORITHM, digest_file
from ckptkit.errors import (
    CkptkitError,
    ConflictError,
    DiskFullError,
    PartlyDoneError,
    UnsafeContentError,
    UsageError,
)
from ckptkit.layouts import SIDECAR, STEP_FOLDER
from ckptkit.layouts.adopted import main_of
from ckptkit.manifest.models import Manifest
from ckptkit.manifest.names import (
    check_folder,
    check_item_name,
    check_run,
    check_step,
    check_tag,
    step_folder,
    step_of_name,
)
from ckptkit.problem import Problem
from ckptkit.progress import Meter
from ckptkit.sink import Sinks
from ckptkit.storage import Entry, Staging, Stamp, Storage, SupportsChecked
from ckptkit.store import flattening, item_entries, sealing, sharing, writing
from ckptkit.store.capturing import Capture, capture
from ckptkit.store.copying import Memory
from ckptkit.store.details import Details, require_open_run
from ckptkit.store.files import Files
from ckptkit.store.guests import guest
from ckptkit.store.sources import Factories, resolve
from ckptkit.store.stranger import make_names_last
from ckptkit.store.trust import Trust
from ckptkit.verification import Verifier

_COPY = "`ckptkit save` copies what belongs to the checkpoint; nothing was changed"
SPARE = 1 << 20  # bytes for the manifest and the file system's own needs


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint that was committed.

    Attributes:
        at: where it is.
        manifest: its manifest.
        left: by item, what was in the given folder but not saved.
        warnings: what was found in the files that does not prevent saving them.
        undone: which parts of the save could not be done after the commit.
        digested: what its files were like before they were digested.
        checked: by path, the stamps of files that the store has checked as it took them.
    """

    at: Entry
    manifest: Manifest
    left: Mapping[str, Sequence[str]]
    warnings: Sequence[Problem]
    undone: PartlyDoneError | None
    digested: writing.Digested
    checked: Mapping[str, Stamp] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a save was asked for, beside its items.

    Attributes:
        storage: the store.
        run: name of the run.
        step: training step.
        details: what the manifest says beside its items.
        tags: words for retention.
        algorithm: of the digests.
        probe: whether to record proofs of resume.
        replace: whether a checkpoint of this step that verifies makes room.
        name: of the checkpoint's folder; None: ours.
        flat: whether the files of all items lie right in it.
        dedup: what is stored only once.
    """

    storage: Storage
    run: str
    step: int
    details: Details
    tags: Sequence[str] = ()
    algorithm: str = DEFAULT_ALGORITHM
    probe: bool = True
    replace: bool = False
    name: str | None = None
    flat: bool = False
    dedup: sharing.Dedup = "off"


@dataclass(slots=True, eq=False)
class Begun:
    """A save whose items are captured; ``finish`` does the rest, once, on any thread."""

    asked: Asked
    step: int
    folder_name: str
    captured: Capture
    staged: Staging
    trusted: Trust
    surroundings: Mapping[str, Any]
    sinks: Sinks
    earlier: sharing.Earlier | None
    held: contextlib.ExitStack

    def finish(self) -> Saved:
        """Write, check, seal and commit.

        Raises:
            CkptkitError: nothing was committed; see ``CheckpointStore.save``.
        """
        asked, name, digested = self.asked, self.folder_name, writing.Digested()
        storage, run, step = asked.storage, asked.run, self.step
        with _nothing_committed(), durable.storage_errors(storage.url), self.held:
            entries = writing.write(self.captured, step, trust=self.trusted, digested=digested)
            warnings = item_entries.lift_warnings(entries)
            if asked.flat:
                entries = flattening.flattened(entries, self.staged.folder)
            before = succession.last(storage, run)  # others may have saved meanwhile
            stored = None if asked.dedup == "off" else asked.dedup
            given = sealing.fields(
                storage, run, step, entries, asked.details, before, environ=self.surroundings, dedup=stored
            )
            manifest, data = sealing.seal(given, asked.algorithm)
            item_entries.require_consistent(manifest)
            if asked.dedup != "off":
                sharing.share(self.staged, self.earlier, entries, asked.dedup, digested, self.sinks)
            self.staged.seal(data)  # whatever can fail has happened before an old one makes room
            others = _require_free(storage, run, step, asked.replace, before)
            here = next((old for old in others if old.name == name and not old.layout.shared), None)
            with durable.undivided():
                at = self.staged.commit(name, replaces=here)
                succession.note(at, manifest, before)
        undone = _finish(at, [old for old in others if old is not here], asked.tags)
        left = {taken.source.name: taken.source.left for taken in self.captured.items if taken.source.left}
        checked = self.staged.checked if isinstance(self.staged, SupportsChecked) else {}
        return Saved(at, manifest, left, warnings, undone, digested, checked)


def begin(
    asked: Asked,
    items: Mapping[str, Any],
    *,
    factories: Factories | None = None,
    trust: Sequence[Path | str] = (),
    meter: Meter | None = None,
    memory: Memory | None = None,
) -> Begun:
    """Look whether the save can be done, and capture its items: into memory where some is given.

    Raises:
        CkptkitError: it cannot be done, and nothing was changed.
    """
    storage, run = asked.storage, asked.run
    asked.details.require_open(items, asked.tags, asked.name or "")
    step = check_step(asked.step)
    name = step_folder(step) if asked.name is None else check_folder(asked.name, step)
    _require_sayable(storage, run, items, asked.tags)
    before = succession.last(storage, run)
    _require_free(storage, run, step, asked.replace, before)
    sources = resolve(items, factories or {})
    guess = before.size if any(not s.estimate for s in sources) else 0  # where a backend cannot tell
    storage.require_space(run, max(sum(s.estimate for s in sources), guess) + SPARE)
    if asked.tags:
        refs.read(storage, run)  # damaged ones are told before anything is saved
    if meter is not None and all(source.files is not None for source in sources):
        meter.expect(sum(source.estimate for source in sources))  # files are as large as they are: it is no guess
    trusted = Trust(trust, asked.algorithm)
    surroundings = sealing.surroundings(source.backend.name for source in sources)
    with _nothing_committed(), durable.storage_errors(storage.url), contextlib.ExitStack() as held:
        held.enter_context(storage.locked(run, "save"))
        staged = held.enter_context(storage.stage(run))
        earlier = None
        if asked.dedup != "off":
            sharing.require_able(storage, staged)
            earlier = sharing.earlier(storage, run, before, asked.details.parent)
        compared = earlier.open if earlier is not None and asked.dedup == "tensor" and not asked.flat else None
        sinks = Sinks(asked.algorithm, on_bytes=meter, folder=staged.folder, earlier=compared)
        held.callback(sinks.release)
        captured = capture(sources, staged.folder, step, probe=asked.probe, sinks=sinks, memory=memory)
        if memory is not None:
            asked = replace(asked, details=asked.details.frozen())
        return Begun(asked, step, name, captured, staged, trusted, surroundings, sinks, earlier, held.pop_all())


def _require_sayable(storage: Storage, run: str, items: Mapping[str, Any], tags: Sequence[str]) -> None:
    """Raise where the run, a tag or a path is one that nothing may be saved under, or from."""
    require_open_run(storage, check_run(run))
    for tag in tags:
        check_tag(tag)
    if not items:
        raise UsageError("a checkpoint needs at least one item", hint="NAME=PATH on the command line")
    storage.require_reachable(run)
    for item in items.values():
        if isinstance(item, (Path, Files)):
            storage.require_source(item if isinstance(item, Path) else item.path)


def _finish(at: Entry, replaced: Sequence[Entry], tags: Sequence[str]) -> PartlyDoneError | None:
    """Do what comes after the commit, and return what could not be done: the checkpoint exists in any case."""
    undone, then = "what was saved at this step before was not moved to the trash", "save it again with --replace"
    try:
        for old in replaced:
            old.storage.remove(old, beside_others.payload(old))
        undone, then = f"it was not tagged {', '.join(tags)}", f"`ckptkit tag {at.ref} TAG`"
        if tags:
            with refs.changed(at.storage, at.run) as changed:
                changed.tags.setdefault(at.step or 0, set()).update(tags)
    except CkptkitError as error:
        done = PartlyDoneError(f"{at.ref}: was saved, but {undone}: {error.message}", hint=f"{error.hint}; then {then}")
        done.__cause__ = error
        return done
    return None


@contextlib.contextmanager
def _nothing_committed() -> Iterator[None]:
    try:
        yield
    except DiskFullError as error:
        if "nothing was" in error.reason:
            raise
        raise DiskFullError(f"{error.reason}; nothing was committed", hint=error.hint, item=error.item) from error


def adopt_in_place(
    storage: Storage,
    run: str,
    stem: str,
    items: Mapping[str, Sequence[Path] | Path],
    details: Details,
    *,
    saved: Mapping[str, SavedItem] | None = None,
    algorithm: str = DEFAULT_ALGORITHM,
) -> Saved:
    """Write a manifest beside flat files, or into their folder; see ``CheckpointStore.adopt_in_place``."""
    details.require_open(items, name=stem)
    check_run(run)
    step = step_of_name(stem)
    if step is None or "/" in stem or not items:
        raise UsageError(f"{stem!r}: a checkpoint's name must end in the step number", hint="for example ep000050")
    storage.require_reachable(run)
    own = storage.run_folder(run) / stem
    inside = own.is_dir() and not own.is_symlink()
    if not inside and main_of(stem) is not None:  # its manifest would be taken for that of another file
        raise UsageError(
            f"{stem!r}: an '@' before the step is what `adopt` writes", hint="use store.adopt for such a name"
        )
    at = Entry(run, stem, STEP_FOLDER if inside else SIDECAR, storage)
    folder = at.folder
    if inside and os.path.lexists(at.manifest):
        raise ConflictError(f"{at.manifest}: exists already", hint="it is a checkpoint; `ckptkit verify` judges it")
    _require_free(storage, run, step, False, succession.last(storage, run))
    with _nothing_committed(), durable.storage_errors(str(folder)), storage.locked(run, "save"):
        entries = {}
        digested: writing.Digested = {}
        for name, paths in items.items():
            listed = [paths] if isinstance(paths, Path) else paths
            kind = folder if inside else listed[0]  # what tells which backend it is for
            given = (saved or {}).get(name)
            entries[name] = _item_in_place(folder, kind, name, listed, step, given, algorithm, digested)
        warnings = item_entries.lift_warnings(entries)
        before = succession.last(storage, run)
        manifest, data = sealing.seal(sealing.fields(storage, run, step, entries, details, before), algorithm)
        item_entries.require_consistent(manifest)
        mine = {file.path for item in manifest.items.values() for file in item.files}
        if inside and (others := sorted({entry.name for entry in folder.iterdir()} - mine)):
            raise UnsafeContentError(f"{folder}: holds {others[0]} too, which no item lists", hint=_COPY)
        old = _require_free(storage, run, step, False, before)
        around, inner = storage.run_folder(run), f"{stem}/" if inside else ""
        make_names_last(around, [f"{inner}{path}" for path in mine], first=before.sequence == 0)
        with _giving_room(old, mine):
            storage.put(at, at.manifest_file, data, replace=False)
        succession.note(at, manifest, before)
    return Saved(at, manifest, {}, warnings, None, digested)


@contextlib.contextmanager
def _giving_room(old: Sequence[Entry], mine: Collection[str]) -> Iterator[None]:
    """Move old checkpoints to the trash, without the files of the new one, and back if nothing comes to their place."""
    room = [at.storage.remove(at, [path for path in beside_others.payload(at) if path not in mine]) for at in old]
    try:
        yield
    except BaseException:
        for at, removed in zip(old, room, strict=True):
            at.storage.bring_back(removed)
        raise


def _item_in_place(
    folder: Path,
    kind: Path,
    name: str,
    paths: Sequence[Path],
    step: int,
    saved: SavedItem | None,
    algorithm: str,
    digested: writing.Digested,
) -> dict[str, Any]:
    check_item_name(name)
    backend, _ = registry.for_path(kind, name=name)
    files: list[item_entries.FileFields] = []
    for path in paths:
        if path.absolute().parent != folder.absolute():
            raise UnsafeContentError(f"{path}: does not lie in {folder}, beside its manifest")
        durable.fsync_path(path)
        writing.note_before(path, digested)
        size, digest = digest_file(path, algorithm)
        files.append({"path": path.name, "size": size, "digest": digest})
    context = CheckContext([f["path"] for f in files], step=step, source=kind)
    with guest(name, backend):
        described = item_entries.describe(name, backend, folder, context)
    if saved is not None:  # what only the live object could tell
        described = replace(described, probe=saved.probe, hazards=saved.hazards)
    return item_entries.entry(name, backend, folder, described, files, step, "")


def _require_free(storage: Storage, run: str, step: int, replace: bool, before: Last) -> list[Entry]:
    """Return what has to make room at the step: what is damaged, or everything if that was asked for.

    Only what verifies is worth protecting: a run that fell back from a damaged checkpoint must be able to save there
    again.
    """
    existing = [] if before.is_beyond(storage, run, step) else storage.at_step(run, step)
    for at in existing:
        if not replace and ((found := Verifier().verify(at)).good or found.not_judged):
            raise ConflictError(
                f"{run}@{step}: is committed already, {'and verifies' if found.good else 'and cannot be judged here'}",
                hint="choose another step or run; nothing was changed",
            )
    return existing
