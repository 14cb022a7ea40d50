"""Put a checkpoint back into live objects."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from ckptkit import registry
from ckptkit.backend import Backend, LoadContext, SupportsComparison
from ckptkit.catalog import item_files, shown
from ckptkit.errors import BackendError, CkptkitError, NewerFormatError, NotFoundError
from ckptkit.manifest.models import ItemEntry, Manifest
from ckptkit.storage import Entry
from ckptkit.store import readback
from ckptkit.store.choosing import Chosen, Ranking
from ckptkit.store.sources import Factories
from ckptkit.verification import Level, numeric


class RestoreFields(TypedDict, total=False):
    """Keyword arguments of ``CheckpointStore.restore`` that say how, for type checkers."""

    factories: Factories | None
    level: Level
    ranking: Ranking | None
    readback: bool
    exact_run: bool


@dataclass(frozen=True, slots=True)
class Restored:
    """What a run continues with.

    Attributes:
        run: name of the run that the checkpoint belongs to.
        step: its step.
        items: by name, what each backend's ``load`` returned: the given object, a new one, or what the training loop
            needs to finish putting it back (the backend's documentation says when).
        counters: of the manifest.
        metrics: of the manifest.
        config: of the manifest.
        skipped: one line for each newer checkpoint that does not verify.
        followed: one line for each run that was followed to the run that continued it.
        warnings: one line for each piece that was not captured, and so starts over; for each note that a backend made
            while loading; and for each part of the numeric environment that differs from the save's.
    """

    run: str
    step: int
    items: Mapping[str, Any]
    counters: Mapping[str, int] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    skipped: Sequence[str] = ()
    warnings: Sequence[str] = ()
    followed: Sequence[str] = ()


def restore(
    chosen: Chosen, into: Mapping[str, Any], factories: Factories, *, check: bool = True, copied: Path | None = None
) -> Restored:
    """Load the named items, process-wide state (random generators) last; see ``CheckpointStore.restore``.

    ``copied`` is a folder in which its files lie already, as they were verified.
    """
    manifest = chosen.manifest
    unknown = sorted(set(into) - set(manifest.items))
    if unknown:
        raise NotFoundError(
            f"{chosen.at.ref}: has no item {unknown[0]!r}", hint=f"it has {', '.join(sorted(manifest.items))}"
        )
    loaded: dict[str, Any] = {}
    notes: list[str] = []
    for name in sorted(into, key=lambda n: manifest.items[n].ambient):
        context = _context(chosen.at, name, manifest, factories.get(name, {}))
        loaded[name] = _load(chosen.at, name, manifest.items[name], into[name], context, copied)
        notes += [f"item {name!r}: {note}" for note in context.notes]
    found = readback.read_back(manifest, into, _differing(chosen.at, manifest, into, copied)) if check else None
    if found is not None and (lines := found.differences):
        raise BackendError(
            f"{chosen.at.ref}: {lines[0]}" + (f" (and {len(lines) - 1} more items)" if len(lines) > 1 else ""),
            hint="training would not continue as it was; restore with readback=False to continue anyway",
        )
    if found is not None and set(found.compared) == set(manifest.items):
        shown.note(chosen.at, manifest.digest, shown.Shown("read-back", detail=", ".join(found.compared)))
    return Restored(
        run=chosen.at.run,
        step=manifest.step,
        items={name: loaded[name] for name in into},
        counters=manifest.counters,
        metrics=manifest.metrics,
        config=manifest.config,
        skipped=[f"{report.at.ref}: {report.reason}" for report in chosen.skipped],
        followed=chosen.followed,
        warnings=[*_not_captured(manifest, into), *notes, *numeric.differences(manifest.environment)],
    )


def _not_captured(manifest: Manifest, into: Mapping[str, Any]) -> list[str]:
    """Return one line for each piece of a restored item that is known not to be in the checkpoint."""
    return [
        f"item {name!r} is {item.captured.grade}: {reason}"
        for name, item in manifest.items.items()
        if name in into
        for reason in item.captured.reasons
    ]


def _context(at: Entry, name: str, manifest: Manifest, factories: Mapping[str, Callable[[], Any]]) -> LoadContext:
    item = manifest.items[name]
    files = item_files.names(at, name, item)
    return LoadContext(
        files=files,
        metadata=item.metadata,
        format_version=item.format_version,
        step=manifest.step,
        trusted=[file for file, entry in zip(files, item.files, strict=True) if entry.trusted],
        probe=item.probe,
        factories=factories,
    )


def _files(
    at: Entry, name: str, item: ItemEntry, copied: Path | None, *, keep: bool = False
) -> AbstractContextManager[Path]:
    if copied is None:
        return item_files.fetched(at, name, item, keep=keep)
    return nullcontext(copied / item_files.prefix(at, name, item))


def _load(at: Entry, name: str, item: ItemEntry, target: Any, context: LoadContext, copied: Path | None) -> Any:
    backend = _reader(name, item)
    try:
        with _files(at, name, item, copied, keep=True) as folder:
            return backend.load(folder, target=target, context=context)
    except CkptkitError as error:
        error.item = error.item or name
        raise
    except Exception as error:
        # A backend is a guest: whatever it raises is told as its failure to load this item.
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        hint = "does the target fit what was saved? --debug shows the traceback"
        raise BackendError(f"backend {item.backend!r} failed to load it: {reason}", hint=hint, item=name) from error


def _differing(at: Entry, manifest: Manifest, into: Mapping[str, Any], copied: Path | None) -> readback.Differing:
    def ask(backend: SupportsComparison, name: str, parts: Collection[str]) -> Collection[str]:
        with _files(at, name, manifest.items[name], copied) as folder:
            return backend.differing(into[name], folder, parts, context=_context(at, name, manifest, {}))

    return ask


def _reader(name: str, item: ItemEntry) -> Backend:
    backend = registry.usable(item.backend)
    if item.format_version > backend.format_version:
        raise NewerFormatError(
            f"written in format {item.format_version} of {item.backend!r}, this one reads up to "
            f"{backend.format_version}",
            item=name,
        )
    return backend
