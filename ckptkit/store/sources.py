"""What is to be saved: the backend of each item, and either a live object or the files that a trainer wrote."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ckptkit import registry
from ckptkit.backend import (
    Backend,
    SupportsEstimate,
)
from ckptkit.durable import storage_errors
from ckptkit.errors import (
    CkptkitError,
    NotFoundError,
    UsageError,
)
from ckptkit.formats import given_folder
from ckptkit.formats.given_file import require_file
from ckptkit.manifest.names import check_item_name, check_item_names, check_paths
from ckptkit.store import wrote
from ckptkit.store.files import Files
from ckptkit.store.guests import guest

Factories = Mapping[str, Mapping[str, Callable[[], Any]]]
"""By item, by role (``dataset``, ``env``, ``model``): what builds a fresh definition."""


@dataclass(frozen=True, slots=True)
class Source:
    """One item before it is written: which backend, and either a live object or files to copy."""

    name: str
    backend: Backend
    item: Any
    files: Mapping[str, Path] | None
    estimate: int
    factories: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    left: Sequence[str] = ()
    """What is in the given folder but not in the item, one line each."""
    place: str | None = None
    """Of files: where they will be in the checkpoint; told at the call, as their trainer may remove them."""

    @property
    def ambient(self) -> bool:
        """Whether it is state of the whole process."""
        return self.files is None and getattr(self.item, "ambient", False) is True


def resolve(items: Mapping[str, Any], factories: Factories) -> list[Source]:
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
            sources.append(Source(name, backend, item, None, estimate, factories.get(name, {})))
    return sources


def _adopted(name: str, item: Files) -> Source:
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
    return Source(name, backend, item, files, estimate, left=left, place=wrote.place(name, path, files))


def _literal(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
