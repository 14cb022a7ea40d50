"""Level ``presence``: the manifest is whole and valid, its files and no others are there, the set is consistent."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Set

from ckptkit.catalog import beside_others, item_files, since_adopted
from ckptkit.errors import CkptkitError, DamagedError, RefusedError
from ckptkit.layouts import ADOPTED
from ckptkit.manifest.models import FileEntry, Manifest
from ckptkit.manifest.names import UNLISTED
from ckptkit.problem import Problem
from ckptkit.storage import Entry, FileStat
from ckptkit.storage.remote import SupportsStats


def set_problems(manifest: Manifest) -> Iterator[Problem]:
    """Yield a problem where items disagree with the checkpoint, or with each other, on the step or a counter."""
    told: dict[str, tuple[str, int]] = {name: ("the checkpoint", value) for name, value in manifest.counters.items()}
    for name, item in manifest.items.items():
        if item.step is not None and item.step != manifest.step:
            message = f"item {name!r} is at step {item.step}, the checkpoint at step {manifest.step}"
            yield Problem("set-inconsistent", message, item=name)
        for counter, value in item.counters.items():
            who, other = told.setdefault(counter, (f"item {name!r}", value))
            if value != other:
                message = f"item {name!r} is at {counter} {value}, {who} at {other}"
                yield Problem("set-inconsistent", message, item=name)


ELSEWHERE = "adopted-elsewhere"
"""Code of a checkpoint whose files cannot be looked for: their disk is not mounted, or the store is a copy."""


def file_problems(at: Entry, manifest: Manifest) -> Iterator[Problem]:
    """Yield missing, extra, wrong-size and irregular files."""
    try:
        yield from _file_problems(at, manifest)
    except RefusedError as error:
        yield Problem(ELSEWHERE, f"{error.message}: {error.hint}", severity="unjudged")


def _file_problems(at: Entry, manifest: Manifest) -> Iterator[Problem]:
    listed: set[str] = set()
    # Where each look waits for a service, one look tells of all files.
    known = at.storage.stats(at) if isinstance(at.storage, SupportsStats) and not at.layout.shared else {}
    for name, item in manifest.items.items():
        before = item_files.prefix(at, name, item)
        for entry in item.files:
            listed.add(entry.path)
            if not entry.path.startswith(before):
                message = f"lies outside the folder of its item {name!r}"
                yield Problem("path-unsafe", message, entry.path, name, "unsafe")
            elif not before and not item_files.may_lie(at, entry.path):
                yield Problem("path-unsafe", "does not lie beside its manifest", entry.path, name, "unsafe")
            elif problem := _file_problem(at, entry, name, known):
                yield problem
    yield from _beside(at, listed, known)


def _beside(at: Entry, listed: Set[str], known: Iterable[str]) -> Iterator[Problem]:
    """Yield what is wrong with files that the manifest does not list; ``known`` are all, where that is known."""
    if not at.layout.shared:
        for path in known or at.storage.names(at):
            if path == at.signatures_file:
                yield from _signature_problems(at)
            elif path not in listed and path not in UNLISTED:
                yield Problem("file-extra", "is not in the manifest", path)
        return
    if not isinstance(at.storage, SupportsStats):  # a service would have to be asked whether there are signatures
        yield from _signature_problems(at)
    if at.layout is ADOPTED:
        for path in beside_others.unlisted(at, listed):
            yield Problem("file-extra", "is not in the manifest: adopt it again, or move it", path)


def _signature_problems(at: Entry) -> Iterator[Problem]:
    with contextlib.suppress(OSError, CkptkitError):
        at.storage.stat(at, at.signatures_file)
        from ckptkit.verification import signed  # few checkpoints have signatures

        yield from signed.damage(at)


def _file_problem(at: Entry, entry: FileEntry, item: str, known: Mapping[str, FileStat]) -> Problem | None:
    try:
        found = known[entry.path] if entry.path in known else at.storage.stat(at, entry.path)
    except DamagedError:
        return Problem("file-irregular", "lies behind a link or a file, not in a folder", entry.path, item)
    except (FileNotFoundError, NotADirectoryError):
        return Problem("file-missing", "is missing", entry.path, item)
    except OSError as error:
        return Problem("file-unreadable", f"cannot be examined ({error.strerror or error})", entry.path, item)
    if not found.regular:
        return Problem("file-irregular", "is not a regular file", entry.path, item)
    if found.size != entry.size:
        message = f"is {found.size} bytes long, the manifest says {entry.size}"
        return differs(at, Problem("file-size", message, entry.path, item))
    return None


def differs(at: Entry, problem: Problem) -> Problem:
    """Return a problem of a file that is not as its manifest says; where its trainer wrote it again, that is why."""
    with contextlib.suppress(CkptkitError, OSError):
        if problem.file is not None and any(since_adopted.written(at, [problem.file])):
            message = f"{since_adopted.REWRITTEN}; {since_adopted.JUDGED_ANEW}"
            return Problem("file-rewritten", message, problem.file, problem.item)
    return problem
