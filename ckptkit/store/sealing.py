"""From what is known of a checkpoint to its manifest."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ckptkit import environment, registry
from ckptkit.catalog import succession
from ckptkit.catalog.succession import Last
from ckptkit.errors import BackendError, ManifestError, UsageError
from ckptkit.manifest.models import SCHEMA_VERSION, Manifest
from ckptkit.manifest.reading import sealed
from ckptkit.storage import Storage
from ckptkit.store import item_entries
from ckptkit.store.details import Details


def seal(given: dict[str, Any], algorithm: str) -> tuple[Manifest, bytes]:
    """Return manifest and bytes; what the format does not allow comes from the caller, or from the backend."""
    try:
        return sealed(given, algorithm)
    except ManifestError as error:
        if error.message.startswith("field items."):
            raise BackendError(f"{error.message}; nothing was committed", hint="repair the item's backend") from error
        raise UsageError(f"{error.message}; nothing was committed", hint="correct what was given to save") from error


def surroundings(backends: Iterable[str]) -> dict[str, Any]:
    """Return the ``environment`` field, as the calling thread sees it: others may compute by other numbers of cores."""
    return environment.capture(brought=registry.distributions(backends))


def brought_by(surroundings: Mapping[str, Any], backends: Iterable[str]) -> dict[str, Any]:
    """Return the ``environment`` field that was taken before it was known which backends there would be."""
    return {**surroundings, "packages": {**registry.distributions(backends), **surroundings["packages"]}}


def fields(
    storage: Storage,
    run: str,
    step: int,
    items: Mapping[str, dict[str, Any]],
    details: Details,
    before: Last,
    trainer: str | None = None,
    *,
    environ: Mapping[str, Any] | None = None,
    dedup: str | None = None,
) -> dict[str, Any]:
    """Return all fields of a manifest but its digest.

    Args:
        storage: the store.
        run: name of the run.
        step: training step.
        items: the ``items`` field.
        details: what the caller says.
        before: what the run saved last.
        trainer: kind of the layout of the trainer that wrote the files; None: nobody but us.
        environ: the ``environment`` field; that of now when left out.
        dedup: how it was stored, where it may share files with other checkpoints.
    """
    boundary = item_entries.lift_boundary(items, details.boundary)
    resume = None
    if details.resume is not None:
        cwd = details.cwd or str(Path.cwd())  # without one the command means another in another folder
        resume = {"argv": list(details.resume), "cwd": cwd, "env": list(details.env)}
    parent = details.parent
    origin = parent if parent and parent[0] != run else succession.origin(storage, run, step, before)
    return {
        "schema_version": SCHEMA_VERSION,
        "run": run,
        "step": step,
        "sequence": before.sequence + 1,
        "created_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "parent": None if parent is None else {"run": parent[0], "step": parent[1]},
        "origin": None if origin is None else {"run": origin[0], "step": origin[1]},
        "counters": dict(details.counters),
        "metrics": details.numbers(),
        "config": dict(details.config),
        "resume": resume,
        "trainer": trainer,
        "environment": environ or surroundings(i["backend"] for i in items.values()),
        "boundary": None if boundary is None else dict(boundary),
        "dedup": dedup,
        "items": dict(items),
    }
