"""What a trainer wrote, as it lies in a checkpoint: where to point a program that knows nothing about ckptkit."""

from collections.abc import Mapping
from pathlib import Path

from ckptkit.manifest.models import ItemEntry, Manifest


def place(item: str, path: Path, files: Mapping[str, Path]) -> str | None:
    """Return where an adopted path is, relative to its checkpoint's folder.

    Args:
        item: name of the item.
        path: what was adopted: a folder, a file, or a prefix such as ``tf/ckpt-12``.
        files: what was copied of it (relative name -> source).

    Returns:
        The item's folder, the file in it, or the prefix in it; None if what was given is not among the files.
    """
    if path.is_dir():
        return item
    names = [name for name, source in files.items() if source == path] or [n for n in files if n == path.name]
    if names:
        return f"{item}/{names[0]}"
    return f"{item}/{path.name}" if any(name.startswith(f"{path.name}.") for name in files) else None


def only_one(manifest: Manifest) -> ItemEntry | None:
    """Return the item of a checkpoint that was made from one path and nothing else."""
    items = list(manifest.items.values())
    return items[0] if len(items) == 1 and items[0].path is not None else None
