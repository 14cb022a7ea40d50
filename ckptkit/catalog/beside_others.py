"""Checkpoints whose files lie in the folder of their run, beside those of others: they are moved one by one."""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Sequence

from ckptkit.catalog import manifests
from ckptkit.layouts.adopted import parted
from ckptkit.manifest.models import Manifest
from ckptkit.manifest.names import lies_beside
from ckptkit.storage import Entry


def payload(at: Entry) -> list[str]:
    """Return the files that must move with the manifest when a checkpoint is removed; none where its folder does."""
    return payload_of(at, manifests.read(at)[0]) if at.layout.shared else []


def payload_of(at: Entry, manifest: Manifest | None) -> list[str]:
    """Return the same of a checkpoint whose manifest was read; none where it could not be."""
    items = () if manifest is None else manifest.items.values()
    return payload_among(at, (entry.path for item in items for entry in item.files))


def payload_among(at: Entry, paths: Iterable[str]) -> list[str]:
    """Return the same of a checkpoint whose files are known."""
    return [path for path in paths if lies_beside(at.layout, path)] if at.layout.shared else []


def unlisted(at: Entry, listed: Collection[str]) -> Iterator[str]:
    """Yield what lies in the folders that a trainer's files lie in, and is none of them."""
    for folder in parted(listed)[1]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            yield from (path for path in at.storage.names(at, folder) if path not in listed)


def movable(paths: Sequence[str], needed: Collection[str]) -> list[str]:
    """Return the files that may move: not those that others need, nor what lies in a folder with one of these."""
    kept = set(parted(needed)[1])
    return [path for path in paths if path not in needed and path.partition("/")[0] not in kept]
