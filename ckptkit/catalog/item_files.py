"""Where the files of a checkpoint's items lie."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ckptkit.layouts import ADOPTED, FLAT, Layout
from ckptkit.manifest.models import ItemEntry
from ckptkit.manifest.names import UNLISTED, is_flat
from ckptkit.storage import Entry


def layout_of(at: Entry, item: ItemEntry) -> Layout:
    """Return how the files of one item lie: in a folder of the item, or right beside the manifest."""
    return FLAT if not at.layout.shared and _lies_flat(item) else at.layout


def prefix(at: Entry, name: str, item: ItemEntry) -> str:
    """Return what the manifest's paths have before those that the item's backend knows: ``policy/``, or nothing.

    A folder that a trainer wrote is the item: ``checkpoint-500/``.
    """
    if at.layout is ADOPTED and item.path and all(entry.path.startswith(f"{item.path}/") for entry in item.files):
        return f"{item.path}/"
    return layout_of(at, item).path(name, "")


def names(at: Entry, name: str, item: ItemEntry) -> list[str]:
    """Return the item's files as its backend knows them."""
    before = prefix(at, name, item)
    return [entry.path.removeprefix(before) for entry in item.files]


def main(at: Entry, name: str, item: ItemEntry) -> str:
    """Return what a trainer takes for the item: what was adopted as it, its only or main file, or its folder."""
    if item.path is not None:
        return item.path
    return item.files[0].path if at.layout.shared or len(item.files) == 1 else prefix(at, name, item)


@contextmanager
def fetched(at: Entry, name: str, item: ItemEntry, *, keep: bool = False) -> Iterator[Path]:
    """Yield a folder of this machine with the item's files in it, as its backend wrote them; see ``Storage.fetch``."""
    with at.storage.fetch(at, [entry.path for entry in item.files], keep=keep) as folder:
        yield folder / prefix(at, name, item)


def _lies_flat(item: ItemEntry) -> bool:
    return all(is_flat(entry.path) and entry.path not in UNLISTED for entry in item.files)
