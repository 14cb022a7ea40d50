"""Where the files of a checkpoint's items lie."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ckptkit.layouts import ADOPTED, FLAT, Layout
from ckptkit.layouts.adopted import main_of
from ckptkit.manifest.models import ItemEntry
from ckptkit.manifest.names import UNLISTED, is_flat, lies_beside
from ckptkit.storage import Entry


def as_it_lay(at: Entry) -> bool:
    """Return whether files lie as a trainer laid them: beside their manifest, or in a copy of that (``NAME@STEP``)."""
    return at.layout.shared or main_of(at.name) is not None


def may_lie(at: Entry, path: str) -> bool:
    """Return whether a manifest may list a file that lies in no folder of its item."""
    if at.layout.shared or not as_it_lay(at):
        return lies_beside(at.layout, path)
    return lies_beside(ADOPTED, path) and path not in UNLISTED


def layout_of(at: Entry, item: ItemEntry) -> Layout:
    """Return how the files of one item lie: in a folder of the item, or right beside the manifest."""
    return FLAT if not at.layout.shared and _lies_flat(item) else at.layout


def prefix(at: Entry, name: str, item: ItemEntry) -> str:
    """Return what the manifest's paths have before those that the item's backend knows: ``policy/``, or nothing.

    A folder that a trainer wrote is the item: ``checkpoint-500/``.
    """
    before = layout_of(at, item).path(name, "")
    if not as_it_lay(at) or (before and _all_in(before, item)):
        return before
    return f"{item.path}/" if item.path and _all_in(f"{item.path}/", item) else ""


def names(at: Entry, name: str, item: ItemEntry) -> list[str]:
    """Return the item's files as its backend knows them."""
    before = prefix(at, name, item)
    return [entry.path.removeprefix(before) for entry in item.files]


def main(at: Entry, name: str, item: ItemEntry) -> str:
    """Return what a trainer takes for the item: what was adopted as it, its only or main file, or its folder."""
    if item.path is not None:
        return item.path
    return item.files[0].path if as_it_lay(at) or len(item.files) == 1 else prefix(at, name, item)


@contextmanager
def fetched(at: Entry, name: str, item: ItemEntry, *, keep: bool = False) -> Iterator[Path]:
    """Yield a folder of this machine with the item's files in it, as its backend wrote them; see ``Storage.fetch``."""
    with at.storage.fetch(at, [entry.path for entry in item.files], keep=keep) as folder:
        yield folder / prefix(at, name, item)


def _all_in(folder: str, item: ItemEntry) -> bool:
    return all(entry.path.startswith(folder) for entry in item.files)


def _lies_flat(item: ItemEntry) -> bool:
    return all(is_flat(entry.path) and entry.path not in UNLISTED for entry in item.files)
