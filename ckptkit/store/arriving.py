"""A checkpoint of one store arrives in another: verified as it is read, and again as it arrived; then it is committed.

Its manifest stays what it was, byte for byte, so whoever asks later can tell whether it is there already. What is there
and is another checkpoint is never touched.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ckptkit import durable
from ckptkit.catalog import beside_others, digests, manifest_files, manifests, shares, succession
from ckptkit.catalog.ledger import Ledger
from ckptkit.digest import DEFAULT_ALGORITHM, algorithm_of, digest_stream
from ckptkit.errors import CkptkitError, ConflictError, RefusedError, StoreError, UsageError
from ckptkit.layouts import SIDECAR
from ckptkit.layouts.adopted import adopted_name
from ckptkit.manifest import reading
from ckptkit.manifest.models import FileEntry, Manifest
from ckptkit.manifest.names import UNLISTED, is_run
from ckptkit.sink import Sinks
from ckptkit.storage import Entry, Staging, Storage, SupportsChecked, SupportsSharing
from ckptkit.store import going_along, sharing
from ckptkit.store.copying_out import CopyingVerifier, files_of
from ckptkit.store.writing import Digested, note_before
from ckptkit.verification import CheckpointReport, Level, Verifier, trust

Outcome = Literal["copy", "copied", "there", "conflict", "damaged", "gone"]
"""``copy``: it is still to be copied. ``there``: it was, before. ``conflict``: another one has its step there.
``damaged``: it does not verify at its source. ``gone``: it was removed meanwhile."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What became of one checkpoint that was to be copied.

    Attributes:
        source: where it is copied from.
        outcome: what became of it.
        at: where it is now in the other store; None where it is not.
        manifest: its manifest, where that could be read.
        reason: one line: why it is not there.
        report: what was found when it was verified, if it was.
        undone: one line for each thing that should have gone along with it, and did not.
    """

    source: Entry
    outcome: Outcome
    at: Entry | None = None
    manifest: Manifest | None = None
    reason: str = ""
    report: CheckpointReport | None = field(default=None, repr=False)
    undone: Sequence[str] = ()

    @property
    def size(self) -> int:
        """Bytes of its files; 0 where its manifest cannot be read."""
        return 0 if self.manifest is None else self.manifest.size

    @property
    def is_there(self) -> bool:
        """Whether the other store has it now."""
        return self.outcome in ("copied", "there")


_TAKEN = "its place was taken while it was copied: try again"
_NONE = ("manifest-missing", "manifest-unreadable")
"""Codes of what is no checkpoint, or none any more: a save takes its place, too."""


class StagedFolder:
    """The folder of a checkpoint that is being built, filled with the files of another one."""

    def __init__(self, storage: Storage, run: str, folder: Path) -> None:
        self._storage, self._run = storage, run
        self.partial = folder

    def begin(self, files: Iterable[FileEntry], needed: int) -> None:
        """Begin to fill it, anew if it was begun before; raises StoreError, DiskFullError."""
        self._storage.require_space(self._run, needed)
        with durable.storage_errors(self._storage.url):
            for folder in {(self.partial / file.path).parent for file in files}:
                folder.mkdir(parents=True, exist_ok=True)

    def copy(self, at: Entry, files: Sequence[FileEntry], **how: Any) -> list[digests.Found]:
        """Copy files of a checkpoint, and return what each is digested to; see ``digests.digests``."""
        with durable.storage_errors(self._storage.url):
            return digests.digests(at, files, into=self.partial, **how)


@dataclass
class Arrivals:
    """Brings checkpoints of other stores into one.

    Attributes:
        storage: where they arrive.
        level: how far they are verified where they are read, and where they are found to be there: at least by digests.
        ledger: asks for what is known of the store where they arrive.
        source_ledger: of the store that they are read from.
        jobs: how many threads read and digest; all cores when left out.
        on_bytes: called with how much was read.
        whole: no file is stored in parts, also where the one that is copied is.
        replaces: another checkpoint that has the step goes to the trash, rather than being a conflict.
    """

    storage: Storage
    level: Level
    ledger: Callable[[], Ledger]
    source_ledger: Ledger | None = None
    jobs: int | None = None
    on_bytes: Callable[[int], None] | None = None
    whole: bool = False
    replaces: bool = False
    _known: dict[str, tuple[str, dict[int | None, list[Entry]]]] = field(default_factory=dict)
    _last: dict[str, succession.Last] = field(default_factory=dict)

    def look(self, source: Entry) -> Arrival:
        """Return what would become of a checkpoint, by manifests alone."""
        return self._look(source)[0]

    def _look(self, source: Entry) -> tuple[Arrival, list[Entry]]:
        """Return the same, and what has to make room for it."""
        manifest, problem = manifests.read(source)
        if manifest is None or problem is not None:
            reason = f"{source.manifest_file}: {problem.message if problem else 'cannot be read'}"
            gone = source.identity is None
            return Arrival(
                source, "gone" if gone else "damaged", reason="was removed meanwhile" if gone else reason
            ), []
        if (refused := _unnameable(source, manifest)) is not None:
            return Arrival(source, "damaged", manifest=manifest, reason=refused), []
        room, other = list(self._steps(source.run).get(manifest.step, ())), None
        for at in room:
            found, problem = manifests.read(at)
            if found is not None and found.digest == manifest.digest:
                return Arrival(source, "there", at, manifest), []
            none = problem is not None and problem.code in _NONE
            if at.layout.shared or not (none or self.replaces):  # what lies among a trainer's files is not moved
                other = at
        if other is not None:
            reason = f"another checkpoint has this step there: {other.where}"
            return Arrival(source, "conflict", manifest=manifest, reason=reason), []
        return Arrival(source, "copy", manifest=manifest), room

    def to_read(self, looked: Arrival) -> int:
        """Return how many bytes are read of a checkpoint, whether it is copied or verified where it is."""
        if looked.outcome == "there":
            return 0 if self._is_known(looked) else looked.size
        return looked.size if looked.outcome == "copy" else 0

    def _is_known(self, looked: Arrival) -> bool:
        """Return whether what is there verified before, and is unchanged since."""
        at, manifest = looked.at, looked.manifest
        known = None if at is None else self.ledger().one(at.run, at.name)
        if at is None or manifest is None or known is None or known.facts.get("digest") != manifest.digest:
            return False
        return self._verifier().trusts(at, known)

    def bring(self, source: Entry) -> Arrival:
        """Copy a checkpoint unless it is there and verifies; what is there and does not verify makes room for it.

        Raises:
            StoreError, DiskFullError: the store cannot be written.
            RefusedError: what is copied there would never be listed.
        """
        looked, room = self._look(source)
        if looked.outcome == "there" and self._is_known(looked) and looked.at is not None:
            return replace(looked, undone=going_along.notes(source, looked.at, looked.manifest))
        if looked.outcome == "there" and looked.at is not None:
            report = self._verifier().verify(looked.at)
            if report.good or report.not_judged:
                undone = going_along.notes(source, looked.at, report.manifest)
                return replace(looked, report=report, undone=undone)
            if looked.at.layout.shared and not report.gone:
                reason = f"is there among a trainer's files, and does not verify: {report.reason}"
                return replace(looked, outcome="conflict", at=None, reason=reason)
            room = [] if report.gone else [looked.at]
            looked = replace(looked, outcome="copy", at=None)
        return self._copy(looked, room) if looked.outcome == "copy" else looked

    def _copy(self, looked: Arrival, room: Sequence[Entry]) -> Arrival:
        source, storage, run = looked.source, self.storage, looked.source.run
        storage.require_reachable(run)
        with storage.locked(run, "save"), storage.stage(run) as staging:
            folder = StagedFolder(storage, run, staging.folder)
            verifier = CopyingVerifier(
                folder, self.level, ledger=self.source_ledger, on_bytes=self.on_bytes, jobs=self.jobs
            )
            report = verifier.verify(source)
            if report.gone:
                return replace(looked, outcome="gone", reason=report.reason, report=report)
            if report.manifest is None or verifier.copied != source or not (report.good or report.not_judged):
                return replace(looked, outcome="damaged", reason=report.reason, report=report)
            data, manifest = _sealed(source) or (b"", None)
            if manifest is None and source.identity is not None:  # a disk, or a network, may fail once
                reason = f"{source.manifest_file}: cannot be read any more"
                return replace(looked, outcome="damaged", reason=reason, report=report)
            if manifest is None or manifest != looked.manifest or manifest != report.manifest:
                return replace(looked, outcome="gone", reason="was replaced or removed while it was copied")
            digested = self._read_back(staging.folder, manifest)
            self._share(staging, run, manifest, digested)
            staging.seal(data)
            checked = staging.checked if isinstance(staging, SupportsChecked) else {}
            try:
                at, left = self._commit(staging, source, manifest, room)
            except ConflictError:  # somebody else was faster
                self._known.pop(run, None)
                found = self.look(source)
                return found if found.outcome != "copy" else replace(found, outcome="conflict", reason=_TAKEN)
        level: Level = self.level if report.good else "digest"
        warnings = [problem for problem in report.problems if problem.severity == "warning"]
        trust.note_saved(self.ledger(), at, manifest, warnings, digested, checked=checked, level=level)
        undone = [*left, *going_along.notes(source, at, manifest)]
        return replace(looked, outcome="copied", at=at, report=report, undone=undone)

    def _read_back(self, folder: Path, manifest: Manifest) -> Digested:
        """Digest what was written; returns what the files were like before. Raises StoreError where it differs."""
        digested = Digested()

        def digest(file: FileEntry, tell: Callable[[int], None], threads: int) -> tuple[int, str]:
            note_before(folder / file.path, digested)
            with (folder / file.path).open("rb") as stream:
                return digest_stream(stream, file.size, algorithm_of(file.digest), threads=threads)

        files = files_of(manifest)
        with durable.storage_errors(self.storage.url):
            found = shares.results(files, digest, jobs=self.jobs)
        for file, one in zip(files, found, strict=True):
            if one != (file.size, file.digest):
                hint = "look after its disk; nothing was committed"
                raise StoreError(f"{self.storage.url}: {file.path} is not what was written there", hint=hint)
        return digested

    def _share(self, staging: Staging, run: str, manifest: Manifest, digested: Digested) -> None:
        """Store once what the checkpoint before has, too, where the one that is copied did."""
        older = [step for step in self._steps(run) if step is not None and step < manifest.step]
        if self.whole or manifest.dedup is None or not older or not isinstance(staging, SupportsSharing):
            return
        before = sharing.earlier(self.storage, run, succession.Last(step=max(older)), None)
        entries = {
            name: {"files": [{"path": f.path, "size": f.size, "digest": f.digest} for f in item.files]}
            for name, item in manifest.items.items()
        }
        sinks = Sinks(DEFAULT_ALGORITHM, folder=staging.folder)
        sharing.share(staging, before, entries, manifest.dedup, digested, sinks)

    def _commit(
        self, staging: Staging, source: Entry, manifest: Manifest, room: Sequence[Entry]
    ) -> tuple[Entry, list[str]]:
        storage, run, name = self.storage, source.run, _name(source, manifest)
        here = next((old for old in room if old.name == name and not old.layout.shared), None)
        before = self._last.get(run) or succession.last(storage, run)
        with durable.undivided():
            at = staging.commit(name, replaces=here)
            if manifest.step >= before.highest:  # else the newer one is still what the run saved last
                succession.note(at, manifest, before)
                before = succession.last(storage, run)
            self._last[run] = before
        undone = []
        for old in room:
            if old is not here:
                try:
                    storage.remove(old, beside_others.payload(old))
                except (RefusedError, StoreError) as error:
                    undone.append(f"{old.where} was not moved to the trash: {error.message}")
        steps = self._known[run][1]
        steps[manifest.step] = [at]
        self._known[run] = storage.run_stamp(run), steps
        return at, undone

    def _steps(self, run: str) -> dict[int | None, list[Entry]]:
        """Return what the run has there by step: listed once, as long as nobody else adds to it."""
        stamp, steps = self._known.get(run, ("", None))
        if steps is None or stamp != self.storage.run_stamp(run):
            steps, stamp = {}, self.storage.run_stamp(run)
            for at in self.storage.scan(run) if self.storage.has_run(run) else ():
                steps.setdefault(at.step, []).append(at)
            self._known[run] = stamp, steps
        return steps

    def _verifier(self) -> Verifier:
        return Verifier(self.level, ledger=self.ledger(), jobs=self.jobs, on_bytes=self.on_bytes)


def require_level(level: Level) -> None:
    """Raise UsageError for a level on which nothing is digested, or something is run."""
    if level not in ("digest", "format"):
        raise UsageError(f"level {level!r} is none to copy on", hint="use digest or format")


def _sealed(source: Entry) -> tuple[bytes, Manifest] | None:
    """Return the bytes of a manifest and what they say; None where it is gone."""
    try:
        data = manifest_files.read_bytes(source)
        return data, reading.parse(data)
    except CkptkitError:
        return None


def _name(source: Entry, manifest: Manifest) -> str:
    """Return the folder's name: what lay beside others gets one of its own, in which it lies as it did there."""
    return adopted_name(source.name, manifest.step) if source.layout is SIDECAR else source.name


def _unnameable(source: Entry, manifest: Manifest) -> str | None:
    """Return why a checkpoint can have no folder of its own."""
    if not is_run(source.run):
        return "lies in a folder whose name no run can have"
    if source.layout.shared and (taken := next((f.path for f in files_of(manifest) if f.path in UNLISTED), None)):
        return f"holds a file called {taken}, which ckptkit needs for itself in a folder"
    return None
