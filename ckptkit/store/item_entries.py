"""What the manifest says of an item: what its backend told, the files, and what was found in them."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from ckptkit.backend import (
    Backend,
    CheckContext,
    SavedItem,
    SupportsIngest,
)
from ckptkit.errors import (
    BackendError,
    CkptkitError,
    DamagedError,
    InconsistentSetError,
    UnsafeContentError,
    UsageError,
)
from ckptkit.formats.pickles import gathered
from ckptkit.manifest.models import Manifest
from ckptkit.manifest.redaction import redact_text
from ckptkit.problem import Problem
from ckptkit.store.guests import guest
from ckptkit.verification import content
from ckptkit.verification.presence import set_problems

BOUNDARY = "boundary"
"""Field of an item's entry that belongs to the checkpoint: ``lift_boundary`` takes it out."""


WARNINGS = "warnings"
"""Field of an item's entry that is only for whoever saves: ``lift_warnings`` takes it out."""


class FileFields(TypedDict):
    """One entry of an item's ``files`` in the manifest."""

    path: str
    size: int
    digest: str
    trusted: NotRequired[bool]


def entry(
    name: str,
    backend: Backend,
    folder: Path,
    saved: SavedItem,
    files: Sequence[FileFields],
    step: int,
    prefix: str,
    written: Collection[str] = (),
) -> dict[str, Any]:
    """Return an item's entry for the manifest, after its backend has checked the files it lists.

    ``prefix`` goes before the paths in ``folder``: nothing for files adopted in place. ``written`` are the
    paths, there, of the files that the backend has just written through a sink.

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
        problems = content.problems(lambda: backend.check(folder, context=context), folder, names, trusted, written)
    refuse(name, [p for p in problems if p.severity != "warning"])
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
        refuse(name, [p for p in backend.check(folder, context=context) if p.severity == "unsafe"])
        raise


def refuse(name: str, problems: Sequence[Problem]) -> None:
    """Raise UnsafeContentError or DamagedError for the worst of the problems that forbid to save an item."""
    if not problems:
        return
    first = next((p for p in problems if p.severity == "unsafe"), problems[0])
    message = f"{first.file}: {first.message}" if first.file else first.message
    if first.severity == "unsafe":
        hint = "do not load it; if you wrote it yourself, trust exactly this file: --trust FILE, or save(trust=[...])"
        raise UnsafeContentError(message, hint=hint, item=name)
    unread = first.code == "file-unreadable"
    why = "see to the disk, or try again" if unread else "the files are incomplete, or not what they seem"
    raise DamagedError(message, hint=f"nothing was committed; {why}", item=name)


def require_consistent(manifest: Manifest) -> None:
    """Raise InconsistentSetError if the items do not agree on the step or on a counter."""
    for problem in set_problems(manifest):
        raise InconsistentSetError(f"{problem.message}; nothing was committed")
