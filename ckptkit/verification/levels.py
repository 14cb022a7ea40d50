"""The levels of verification, each including the one before; findings are collected, never raised."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ckptkit import durable, environment, registry
from ckptkit.backend import CheckContext, Proof
from ckptkit.catalog import digests, item_files, manifests, shown
from ckptkit.catalog.known import Known
from ckptkit.catalog.ledger import Ledger
from ckptkit.errors import BackendError, CkptkitError, ConflictError, DiskFullError, UsageError
from ckptkit.manifest.models import FileEntry, ItemEntry, Manifest
from ckptkit.manifest.redaction import redact_text
from ckptkit.problem import Problem, fails
from ckptkit.storage import Entry, Stamp, scratch_folders
from ckptkit.storage.remote import SupportsStats
from ckptkit.verification import observation, presence, trust
from ckptkit.verification.report import LEVELS, CheckpointReport, Level

if TYPE_CHECKING:
    from ckptkit.signing.keyring import Keyring
    from ckptkit.verification import proving

# What only some of the levels need they import themselves: digests take less time than importing it all.

_DOUBTS = ("pickle-unrecognised", "yaml-unrecognised", "not-looked-into", "file-trusted")
"""Codes of what cannot be known to be safe: warnings, unless the verification is strict."""

_TRIES = 5  # for a checkpoint that is replaced again and again while it is read

Factories = Mapping[str, Mapping[str, str]]
"""By item, by role: the ``module:function`` that builds a definition, for the level ``resume``."""


class Verifier:
    """Verifies checkpoints on one level.

    Args:
        level: ``presence``, ``digest``, ``format`` or ``resume``.
        on_bytes: called with the number of bytes of each block read, for progress.
        factories: for the level ``resume``.
        limits: of the processes of the level ``resume``.
        strict: fail a checkpoint that would import what is not on the allowlist when it is loaded.
        ledger: where what is found is kept, for retention and listings.
        trust_unchanged: believe the ledger where it says that a checkpoint verified and is unchanged since.
        jobs: how many threads read and digest at a time; all cores when left out.
        signers: keys by one of which each checkpoint must be signed.
    """

    def __init__(
        self,
        level: Level = "format",
        *,
        on_bytes: Callable[[int], None] | None = None,
        factories: Factories | None = None,
        limits: "proving.Limits | None" = None,
        strict: bool = False,
        ledger: Ledger | None = None,
        trust_unchanged: bool = False,
        jobs: int | None = None,
        signers: "Keyring | None" = None,
    ) -> None:
        if level not in LEVELS:
            raise UsageError(f"level {level!r} is not known", hint=f"use {', '.join(LEVELS)}")
        self.level: Level = level
        self.ledger = None if strict else ledger  # what only strictness finds is no damage
        self._depth = LEVELS.index(level)
        self._on_bytes = on_bytes
        self._factories = factories or {}
        self._limits = limits
        self._strict = strict
        self._trusting = trust_unchanged
        self._jobs = jobs
        self._signers = signers
        self._copies_items = True  # of a store that is a service
        self._into: Path | None = None

    def trusts(self, at: Entry, known: Known) -> bool:
        """Return whether what is known of a checkpoint would be found again on this level: all files are unchanged."""
        return not self._strict and trust.holds(at, known, self.level)

    def verify(self, at: Entry) -> CheckpointReport:
        """Return what is wrong with one checkpoint; never raises for damage.

        Raises:
            StoreError: the limit of open files is nearly reached, so nothing can be said about any file.
        """
        durable.require_descriptors()
        remembered = self._remembered(at) if self._trusting else None
        report = remembered or self._looked_at(at)
        return self._with_signature(report)

    def _with_signature(self, report: CheckpointReport) -> CheckpointReport:
        """Return a report with whom its checkpoint is signed by, where that is asked for."""
        if self._signers is None or report.gone:
            return report
        from ckptkit.verification import signed

        return signed.judged(report, self._signers)

    def _looked_at(self, at: Entry) -> CheckpointReport:
        report = CheckpointReport(at, self.level, None, gone=True)
        for _ in range(_TRIES):
            before = at.identity
            if before is None:  # what is moved to the trash while it is read is not damaged
                return CheckpointReport(at, self.level, None, gone=True)
            seen = None if self.ledger is None else trust.seen(at)
            report = self._verify(at, None if seen is None else seen[1])
            if report.good or at.identity == before:
                if self.ledger is not None:
                    trust.note(self.ledger, seen, report)
                break
        return report

    def _remembered(self, at: Entry) -> CheckpointReport | None:
        known = None if self.ledger is None else self.ledger.one(at.run, at.name)
        return trust.report(at, known, self.level) if known is not None and self.trusts(at, known) else None

    def _verify(self, at: Entry, before: Mapping[str, Stamp] | None) -> CheckpointReport:
        manifest, problems = manifests.examine(at)
        if manifest is None:
            return CheckpointReport(at, self.level, None, problems)
        problems += presence.set_problems(manifest)
        try:
            problems += presence.file_problems(at, manifest)
        except OSError as error:
            problems.append(Problem("file-unreadable", f"folder cannot be read ({error.strerror or error})"))
        if any(problem.code == presence.ELSEWHERE for problem in problems):
            return CheckpointReport(at, self.level, manifest, problems)
        problems += observation.problems(at, manifest.digest)
        bytes_read, proofs = 0, {}
        if self._depth >= LEVELS.index("digest"):
            found, bytes_read = self._content(at, manifest, problems, before)
            problems += found
        if self._depth >= LEVELS.index("resume"):
            proofs = dict(self._proofs(at, manifest, problems))
            problems += [problem for name, proof in proofs.items() if (problem := _verdict(name, proof)) is not None]
            _note(at, manifest, proofs)
        count = sum(len(item.files) for item in manifest.items.values())
        told = [replace(p, message=redact_text(p.message)) for p in problems]  # they quote what files say
        return CheckpointReport(at, self.level, manifest, told, count, bytes_read, proofs)

    def _content(
        self, at: Entry, manifest: Manifest, known: Sequence[Problem], before: Mapping[str, Stamp] | None
    ) -> tuple[list[Problem], int]:
        """Return what is wrong with the content of all items, and how many bytes were digested.

        Where files come from a service, what is looked into is copied as it is digested, one item at a time.
        """
        looks_into = self._depth >= LEVELS.index("format")
        if not looks_into or not self._copies_items or not isinstance(at.storage, SupportsStats):
            found, total = self._digests(at, manifest, known, before)
            return [*found, *(self._formats(at, manifest, [*known, *found]) if looks_into else ())], total
        problems: list[Problem] = []
        total = 0
        for name, item in manifest.items.items():
            found, size = self._copied_and_looked_into(at, manifest, name, item, known, before)
            problems += found
            total += size
        return problems, total

    def _copied_and_looked_into(
        self,
        at: Entry,
        manifest: Manifest,
        name: str,
        item: ItemEntry,
        known: Sequence[Problem],
        before: Mapping[str, Stamp] | None,
    ) -> tuple[list[Problem], int]:
        """Return the same for one item; where there is no room for a copy, its digests are all that is known."""
        with ExitStack() as held:
            held.callback(setattr, self, "_into", None)
            full: DiskFullError | None = None
            try:
                self._into = held.enter_context(copied_item(item))
            except DiskFullError as error:
                full = error
            found, size = self._digests_of(at, {name: item}, known, before)
            if full is None:
                found += self._formats(at, manifest, [*known, *found], name)
            elif not fails([*known, *found]):
                found.append(_not_judged(name, full.message))
            return found, size

    def _digests(
        self, at: Entry, manifest: Manifest, known: Iterable[Problem], before: Mapping[str, Stamp] | None
    ) -> tuple[list[Problem], int]:
        return self._digests_of(at, manifest.items, known, before)

    def _digests_of(
        self,
        at: Entry,
        items: Mapping[str, ItemEntry],
        known: Iterable[Problem],
        before: Mapping[str, Stamp] | None,
    ) -> tuple[list[Problem], int]:
        skipped = {p.file for p in known}  # missing or of another size: reported already
        listed = [(name, file) for name, item in items.items() for file in item.files]
        to_read = [(name, file) for name, file in listed if file.path not in skipped]
        found = self._digested(at, [file for _, file in to_read], before)
        problems, total = [], 0
        for (name, file), one in zip(to_read, found, strict=True):
            if isinstance(one, ConflictError):
                problems.append(Problem("file-changed", "changed while it was read", file.path, name))
            elif isinstance(one, CkptkitError):
                problems.append(Problem("file-unreadable", one.message, file.path, name))
            else:
                total += one[0]
                if one[1] != file.digest:
                    message = "content differs from what was saved (digest mismatch)"
                    problems.append(presence.differs(at, Problem("digest-mismatch", message, file.path, name)))
        return problems, total

    def _digested(
        self, at: Entry, files: Sequence[FileEntry], before: Mapping[str, Stamp] | None
    ) -> list[digests.Found]:
        return digests.digests(at, files, jobs=self._jobs, on_bytes=self._on_bytes, before=before, into=self._into)

    def _folder(self, at: Entry) -> Path | None:
        """Return where the files are that were digested, if that is not their place in the store."""
        return self._into

    def _formats(
        self, at: Entry, manifest: Manifest, known: Iterable[Problem], only: str | None = None
    ) -> Iterator[Problem]:
        damaged = {p.item for p in known if p.item and p.severity != "warning" and p.code != "set-inconsistent"}
        for name, item in manifest.items.items():
            if name not in damaged and only in (None, name):  # a damaged file's structure says nothing new
                found = check_item(at, name, item, manifest.step, manifest.environment.packages, self._folder(at))
                yield from map(_strictly, found) if self._strict else found

    def _proofs(self, at: Entry, manifest: Manifest, known: Iterable[Problem]) -> Iterator[tuple[str, Proof]]:
        from ckptkit.verification import proving

        bad = {p.item for p in known if p.severity not in ("warning", "unjudged")}
        unjudged = {p.item for p in known if p.severity == "unjudged"}
        for name, item in manifest.items.items():
            if name in bad or None in bad:
                yield name, Proof("unproven", "not loaded: problems were found in its files")
            elif any(entry.trusted for entry in item.files):
                yield name, Proof("unproven", "not loaded: a file of it is only trusted by whoever saved it")
            elif name in unjudged:
                yield name, Proof("unproven", "not loaded: its structure could not be judged here")
            else:
                factories, files = self._factories.get(name, {}), item_files.names(at, name, item)
                limits = self._limits or proving.Limits()
                with item_files.fetched(at, name, item) as folder:
                    yield name, proving.prove(folder, files, name, manifest, factories, limits)


@contextmanager
def copied_item(item: ItemEntry) -> Iterator[Path]:
    """Yield a folder for copies of an item's files, with the folders that they lie in; raises DiskFullError."""
    needed = sum(file.size for file in item.files)
    with scratch_folders.fresh(needed) as folder, durable.storage_errors("temporary files"):
        for around in {(folder / file.path).parent for file in item.files}:
            around.mkdir(parents=True, exist_ok=True)
        yield folder


def _strictly(problem: Problem) -> Problem:
    return replace(problem, severity="unsafe") if problem.code in _DOUBTS else problem


def _verdict(name: str, proof: Proof) -> Problem | None:
    """A resume that differs fails; in another numeric environment a difference is reported, but is not a failure."""
    if proof.verdict == "differs":
        return Problem("resume-differs", proof.reason or "does not resume as it was saved", item=name)
    if proof.verdict == "environment-differs":
        return Problem("resume-environment-differs", proof.reason or "", item=name, severity="warning")
    return None


def _note(at: Entry, manifest: Manifest, proofs: Mapping[str, Proof]) -> None:
    """Keep what a replay showed about the whole checkpoint; if it showed nothing about one item, it shows nothing."""
    differs = [f"item {name!r}: {proof.reason}" for name, proof in proofs.items() if proof.verdict == "differs"]
    if differs:
        shown.note(at, manifest.digest, shown.Shown("replayed", differs=differs[0]))
    elif proofs and all(proof.verdict == "same" for proof in proofs.values()):
        detail = "; ".join(f"{name}: {proof.steps} {proof.of}" for name, proof in proofs.items() if proof.steps)
        how: shown.How = "replayed" if detail else "read-back"
        shown.note(at, manifest.digest, shown.Shown(how, detail=detail or ", ".join(proofs)))


def _not_judged(name: str, reason: str) -> Problem:
    """What this installation cannot look into is not damage: the files are known to be those that were saved."""
    said = f"not judged: {reason}; size and digest of each file are as they were saved"
    return Problem("backend-missing", said, item=name, severity="unjudged")


def _what_to_do(backend: str, packages: Mapping[str, str]) -> str:
    """Return what to do with which package, for a backend that is broken or missing here."""
    if backend in registry.backends():
        return f"repair or uninstall {registry.backends()[backend].distribution}"
    missing = [f"{name} {version}" for name, version in packages.items() if not environment.is_known(name)]
    return f"install {', '.join(missing)}, which it came with" if missing else "install the package that brings it"


def check_item(
    at: Entry,
    name: str,
    item: ItemEntry,
    step: int,
    packages: Mapping[str, str] | None = None,
    copied: Path | None = None,
) -> list[Problem]:
    """Return what is wrong with the content of an item's files, or of their copies in another folder."""
    from ckptkit.formats.pickles import gathered
    from ckptkit.verification import content

    files, prefix = item_files.names(at, name, item), item_files.prefix(at, name, item)
    trusted = [file for file, entry in zip(files, item.files, strict=True) if entry.trusted]
    context = CheckContext(files, item.metadata, item.format_version, step, trusted=trusted)
    with item_files.fetched(at, name, item) if copied is None else nullcontext(copied / prefix) as folder:
        asked = partial(_of_backend, name, item, folder, context, packages or {})
        found = content.problems(asked, folder, files, trusted)
    return gathered(p.located(item=name, prefix="" if p.item else prefix) for p in found)


def _of_backend(
    name: str, item: ItemEntry, folder: Path, context: CheckContext, packages: Mapping[str, str]
) -> list[Problem]:
    """Return what the item's backend finds, or why it cannot be asked."""
    try:
        backend = registry.get(item.backend)
    except BackendError as error:
        return [_not_judged(name, f"{error.message}: {_what_to_do(item.backend, packages)}")]
    if item.format_version > backend.format_version:
        wrote = f"written in format {item.format_version} of {item.backend!r}"
        here = f"{registry.backends()[item.backend].distribution} reads up to {backend.format_version}: upgrade it"
        return [_not_judged(name, f"{wrote}; {here}")]
    try:
        return list(backend.check(folder, context=context))
    except Exception as error:
        # A stranger's check may raise anything on hostile files: that is a finding too, never the end of the report.
        message = f"backend {item.backend!r} failed while checking: {type(error).__name__}: {error}".splitlines()[0]
        return [Problem("backend-failed", message, item=name)]
