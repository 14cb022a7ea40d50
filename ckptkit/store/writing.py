"""Build the items of one checkpoint in its staging folder: live objects through their backends, files by copying."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from ckptkit import registry
from ckptkit.backend import (
    GRADES,
    Backend,
    Captured,
    CheckContext,
    SaveContext,
    SavedItem,
    SupportsEstimate,
    SupportsIngest,
)
from ckptkit.digest import digest_file
from ckptkit.durable import storage_errors
from ckptkit.errors import (
    BackendError,
    CkptkitError,
    ConflictError,
    DamagedError,
    DiskFullError,
    InconsistentSetError,
    NotFoundError,
    UnsafeContentError,
    UsageError,
)
from ckptkit.formats import given_folder
from ckptkit.formats.given_file import require_file
from ckptkit.formats.pickles import gathered
from ckptkit.manifest.models import Manifest
from ckptkit.manifest.names import check_item_name, check_item_names, check_paths
from ckptkit.manifest.redaction import redact_text
from ckptkit.problem import Problem
from ckptkit.store import wrote
from ckptkit.store.files import Files
from ckptkit.store.trust import Trust
from ckptkit.verification import content
from ckptkit.verification.presence import set_problems

BOUNDARY = "boundary"
"""Field of an item's entry that belongs to the checkpoint: ``lift_boundary`` takes it out."""
WARNINGS = "warnings"
"""Field of an item's entry that is only for whoever saves: ``lift_warnings`` takes it out."""


Factories = Mapping[str, Mapping[str, Callable[[], Any]]]
"""By item, by role (``dataset``, ``env``, ``model``): what builds a fresh definition."""


Digested = dict[int, tuple[int, int]]
"""By inode, size and mtime_ns of a file before it was digested: whether it was changed afterwards is told by these."""


def note_before(file: Path, digested: Digested) -> None:
    """Note what a file is like before it is digested."""
    found = file.lstat()
    digested[found.st_ino] = found.st_size, found.st_mtime_ns


class FileFields(TypedDict):
    """One entry of an item's ``files`` in the manifest."""

    path: str
    size: int
    digest: str
    trusted: NotRequired[bool]


@dataclass(frozen=True, slots=True)
class _Source:
    """One item before it is written: which backend, and either a live object or files to copy."""

    name: str
    backend: Backend
    item: Any
    files: Mapping[str, Path] | None
    estimate: int
    factories: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    left: Sequence[str] = ()
    """What is in the given folder but not in the item, one line each."""

    @property
    def ambient(self) -> bool:
        return self.files is None and getattr(self.item, "ambient", False) is True


def resolve(items: Mapping[str, Any], factories: Factories) -> list[_Source]:
    """Find the backend of every item, before anything is written.

    Raises:
        UsageError: an item has no usable name, its path is a pipe, a socket or a device, or factories are given for an
            item that is not there.
        BackendError: no backend takes an item, or its framework is missing.
        NotFoundError: a path does not exist.
    """
    sources = []
    check_item_names(items)
    if unknown := sorted(set(factories) - set(items)):
        raise UsageError(f"factories for {unknown[0]!r}, which is not an item", hint=f"items: {', '.join(items)}")
    for name, item in items.items():
        check_item_name(name)
        if isinstance(item, (Path, Files)):
            sources.append(_adopted(name, item if isinstance(item, Files) else Files(item)))
        else:
            backend = registry.usable(registry.for_object(item, name=name).name)
            with guest(name, backend):
                estimate = backend.estimate_bytes(item) if isinstance(backend, SupportsEstimate) else 0
            sources.append(_Source(name, backend, item, None, estimate, factories.get(name, {})))
    return sources


def _adopted(name: str, item: Files) -> _Source:
    path = item.path
    # A prefix (tf/ckpt-12) is no file itself, but some file beside it begins with it.
    if not path.exists() and not (path.parent.is_dir() and any(path.parent.glob(_literal(path.name) + ".*"))):
        dead = f"is a link to {path.readlink()}, which does not exist" if path.is_symlink() else "does not exist"
        raise NotFoundError(f"{path} {dead}", hint="check the path", item=name)
    require_file(path, or_folder=True, item=name)
    try:
        with storage_errors(f"item {name!r}"):
            given = given_folder.look(path) if path.is_dir() else None
        backend, files = registry.for_path(path, name=name, backend=item.backend)
        for relative, source in files.items():  # whatever the backend: it may follow links on its own
            if source != path:
                given_folder.require_inside(relative, source, path if given else path.parent)
    except CkptkitError as error:
        error.item = error.item or name
        raise
    check_paths(files)
    with storage_errors(f"item {name!r}"):
        estimate = sum(source.stat().st_size for source in files.values())
    left = given.left_out(files) if given else []
    return _Source(name, backend, item, files, estimate, left=left)


def _literal(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def write(
    sources: Sequence[_Source],
    folder: Path,
    step: int,
    *,
    probe: bool,
    algorithm: str,
    trust: Trust,
    on_bytes: Callable[[int], None] | None = None,
    digested: Digested | None = None,
) -> dict[str, dict[str, Any]]:
    """Write all items below the staging folder and return the ``items`` field of the manifest.

    What the files were like before they were digested is added to ``digested``.

    Items that are state of the whole process are written first and last: if the two differ, saving the others has
    changed the run.

    Raises:
        BackendError: a backend failed, wrote nothing, or drew random numbers while saving.
        UnsafeContentError: a backend wrote outside its folder, or wrote content that would run code.
        DamagedError: files do not have the structure that they should.
        DiskFullError: no room was left.
    """
    ordered = sorted(sources, key=lambda source: not source.ambient)
    entries: dict[str, dict[str, Any]] = {}
    ambient = False
    for source in ordered:
        item_folder = folder / source.name
        saved = _write_one(source, item_folder, step, probe)
        ambient = ambient or saved.ambient
        saved = saved if ambient or not saved.draws else _without_generators(saved)
        prefix = f"{source.name}/"
        files = _files(item_folder, prefix, algorithm, on_bytes, digested)
        trust.mark(files)
        fields = entry(source.name, source.backend, item_folder, saved, files, step, prefix)
        if source.files is not None:
            fields["path"] = wrote.place(source.name, source.item.path, source.files)
        entries[source.name] = fields
    for source in (s for s in ordered if s.files is None and entries[s.name]["ambient"]):
        again = folder.parent / f"again-{source.name}"
        _write_one(source, again, step, probe)
        if _files(again, "", algorithm) != _files(folder / source.name, "", algorithm):
            raise BackendError(
                "saving the other items changed the random generators of the process",
                hint="one of the backends draws random numbers while it saves; save without it to find which",
                item=source.name,
            )
        shutil.rmtree(again)
    _nothing_else(folder, entries)
    trust.require_used()
    return {source.name: entries[source.name] for source in sources}


def _write_one(source: _Source, folder: Path, step: int, probe: bool) -> SavedItem:
    with storage_errors(f"item {source.name!r}"):
        try:
            folder.mkdir()
        except FileExistsError as error:
            raise _outside(f"{source.name}") from error
    with guest(source.name, source.backend, folder):
        if source.files is None:
            context = SaveContext(step=step, item=source.name, probe=probe, factories=source.factories)
            saved = source.backend.save(source.item, folder, context=context)
        else:
            _copy(source.files, folder)
            context_of_files = CheckContext(sorted(source.files), step=step, source=source.item.path)
            saved = describe(source.name, source.backend, folder, context_of_files)
            lost = [f"not saved: {line}" for line in source.left]
            saved = replace(saved, hazards=[*saved.hazards, *lost]) if lost else saved
        if not isinstance(saved, SavedItem):
            raise TypeError(f"it returned a {type(saved).__name__}, not a SavedItem")
        return saved


def describe(name: str, backend: Backend, folder: Path, context: CheckContext) -> SavedItem:
    """Return what adopted files say about themselves.

    Raises:
        UnsafeContentError: they cannot be described, and loading them would run code or depend on who reads them.
        CkptkitError: they cannot be described.
    """
    assert isinstance(backend, SupportsIngest)  # for_path only returns those
    try:
        return backend.describe(folder, context=context)
    except CkptkitError:
        _refuse(name, [p for p in backend.check(folder, context=context) if p.severity == "unsafe"])
        raise


def _without_generators(saved: SavedItem) -> SavedItem:
    """Return the item as graded in a set without the generators that it draws from: a known piece is missing."""
    reason = f"{saved.draws}, and the random generators of the process are not in the checkpoint: save a GlobalRng too"
    grade = max("partial", saved.captured.grade, key=GRADES.index)
    return replace(saved, captured=Captured(grade, [*saved.captured.reasons, reason]))


@contextmanager
def guest(name: str, backend: Backend, folder: Path | None = None) -> Iterator[None]:
    """Report whatever the backend raises in the block as its failure with the item; it ends this save."""
    try:
        yield
    except CkptkitError as error:
        error.item = error.item or name
        raise
    except Exception as error:
        if folder is not None and _is_full(error, folder):
            raise DiskFullError("no space left on the device; nothing was committed", item=name) from error
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise BackendError(
            f"backend {backend.name!r} failed: {reason}",
            hint="nothing was committed, older checkpoints are as they were; --debug shows the traceback",
            item=name,
        ) from error


def _is_full(error: BaseException | None, folder: Path) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        error = error.__cause__ or error.__context__
    # C++ writers (torch) lose the errno: then the file system itself is asked.
    return shutil.disk_usage(folder).free < 1 << 20


def _copy(files: Mapping[str, Path], folder: Path) -> None:
    for name, source in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        before = source.stat()
        shutil.copyfile(source, target)
        after = source.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise ConflictError(f"{source}: changed while it was copied", hint="save when the trainer has closed it")


def entry(
    name: str, backend: Backend, folder: Path, saved: SavedItem, files: Sequence[FileFields], step: int, prefix: str
) -> dict[str, Any]:
    """Return an item's entry for the manifest, after its backend has checked the files it lists.

    ``prefix`` goes before the paths in ``folder``: nothing for files adopted in place.

    Raises:
        BackendError: there are no files.
        UnsafeContentError: loading them would run code.
        DamagedError: they do not have the structure that they should.
    """
    if not files:
        raise BackendError(f"backend {backend.name!r} wrote no file", item=name)
    names = [f["path"].removeprefix(prefix) for f in files]
    context = CheckContext(names, saved.metadata, backend.format_version, step)
    with guest(name, backend):
        trusted = [name for name, file in zip(names, files, strict=True) if file.get("trusted")]
        problems = content.problems(lambda: backend.check(folder, context=context), folder, names, trusted)
    _refuse(name, [p for p in problems if p.severity != "warning"])
    return {
        "backend": backend.name,
        "format_version": backend.format_version,
        "step": saved.step,
        "counters": dict(saved.counters),
        "captured": {"grade": saved.captured.grade, "reasons": [*map(redact_text, saved.captured.reasons)]},
        "ambient": saved.ambient,
        "hazards": [*map(redact_text, saved.hazards)],  # they quote what files and objects say
        "metadata": dict(saved.metadata),
        "probe": None if saved.probe is None else dict(saved.probe),
        "files": list(files),
        BOUNDARY: None if saved.boundary is None else dict(saved.boundary),
        WARNINGS: gathered(p.located(item=name, prefix=prefix) for p in problems),
    }


def lift_warnings(entries: Mapping[str, dict[str, Any]]) -> list[Problem]:
    """Take what was found in the items' files without preventing the save out of their entries and return it."""
    return [problem for fields in entries.values() for problem in fields.pop(WARNINGS)]


def lift_boundary(entries: Mapping[str, dict[str, Any]], given: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Take the items' boundaries out of their entries and return the checkpoint's: the one given, or theirs.

    Raises:
        UsageError: none was given, and two items name different ones.
    """
    named = {name: found for name, fields in entries.items() if (found := fields.pop(BOUNDARY)) is not None}
    if given is not None or not named:
        return given
    first, *others = named
    for other in others:
        if named[other] != named[first]:
            raise UsageError(
                f"items {first!r} and {other!r} were taken at different boundaries: {named[first]} and {named[other]}",
                hint="say which is the checkpoint's: save(..., boundary=...)",
            )
    boundary: Mapping[str, Any] = named[first]
    return boundary


def _refuse(name: str, problems: Sequence[Problem]) -> None:
    if not problems:
        return
    first = next((p for p in problems if p.severity == "unsafe"), problems[0])
    message = f"{first.file}: {first.message}" if first.file else first.message
    if first.severity == "unsafe":
        hint = "do not load it; if you wrote it yourself, trust exactly this file: --trust FILE, or save(trust=[...])"
        raise UnsafeContentError(message, hint=hint, item=name)
    raise DamagedError(
        message, hint="nothing was committed; the files are incomplete, or not what they seem", item=name
    )


def _files(
    folder: Path,
    prefix: str,
    algorithm: str,
    on_bytes: Callable[[int], None] | None = None,
    digested: Digested | None = None,
) -> list[FileFields]:
    entries: list[FileFields] = []
    for path, folders, names in os.walk(folder):
        for name in folders:
            if Path(path, name).is_symlink():
                raise UnsafeContentError(f"{Path(path, name)}: a backend must not write links")
        for name in names:
            file = Path(path, name)
            if digested is not None:
                note_before(file, digested)
            size, digest = digest_file(file, algorithm, on_bytes=on_bytes)
            entries.append({"path": prefix + file.relative_to(folder).as_posix(), "size": size, "digest": digest})
    check_paths(entry["path"] for entry in entries)
    return sorted(entries, key=lambda entry: entry["path"])


def _nothing_else(folder: Path, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise UnsafeContentError if there is anything besides what each backend left in its item's folder."""
    listed = {file["path"]: file["size"] for item in entries.values() for file in item["files"]}
    for path, folders, names in os.walk(folder):
        for name in [*names, *(f for f in folders if Path(path) == folder and f not in entries)]:
            file = Path(path, name)
            relative = file.relative_to(folder).as_posix()
            if listed.get(relative) != file.lstat().st_size:
                raise _outside(relative)


def _outside(path: str) -> UnsafeContentError:
    return UnsafeContentError(f"{path!r}: a backend wrote outside the folder of its item; nothing was committed")


def require_consistent(manifest: Manifest) -> None:
    """Raise InconsistentSetError if the items do not agree on the step or on a counter."""
    for problem in set_problems(manifest):
        raise InconsistentSetError(f"{problem.message}; nothing was committed")
