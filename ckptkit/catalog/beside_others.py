"""Checkpoints whose files lie in the folder of their run, beside those of others: they are moved one by one."""

from collections.abc import Iterable

from ckptkit.catalog import manifests
from ckptkit.manifest.models import Manifest
from ckptkit.manifest.names import is_flat
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
    return [path for path in paths if is_flat(path)] if at.layout.shared else []
