"""What a trainer wrote, as it lies in a checkpoint: where a program must be pointed that knows nothing of ckptkit."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from ckptkit.manifest.models import ItemEntry, Manifest
from ckptkit.resume import pieces_of
from ckptkit.storage import Location


def place(item: str, path: Path, files: Mapping[str, Path]) -> str | None:
    """Return where an adopted path lies, relative to its checkpoint's folder.

    Args:
        item: name of the item.
        path: what was adopted: a folder, a file, or a prefix such as ``tf/ckpt-12``.
        files: what was copied of it (relative name -> source).

    Returns:
        The item's folder, the file in it, or the prefix in it; None where what was given is not among the files.
    """
    if path.is_dir():
        return item
    names = [name for name, source in files.items() if source == path] or [n for n in files if n == path.name]
    if names:
        return f"{item}/{names[0]}"
    return f"{item}/{path.name}" if any(name.startswith(f"{path.name}.") for name in files) else None


def only_one(manifest: Manifest) -> ItemEntry | None:
    """Return the item of a checkpoint that was made of one path, and of nothing else."""
    items = list(manifest.items.values())
    return items[0] if len(items) == 1 and items[0].path is not None else None


def doubts(at: Location, manifest: Manifest, given: Mapping[str, Path]) -> Iterator[str]:
    """Yield what speaks against a checkpoint's own resume template, one line each.

    Args:
        at: where the checkpoint is.
        manifest: of it.
        given: by item, the path that was adopted.
    """
    adopted = {name: item.path for name, item in manifest.items.items() if item.path is not None}
    argv = manifest.resume.argv if manifest.resume else []
    fields = [(argument, field, rest) for argument in argv for field, rest in pieces_of(argument)]
    means_the_folder = {"checkpoint"} if only_one(manifest) else {"checkpoint", "path"}
    bare = [field for _, field, rest in fields if field in means_the_folder and not rest.startswith("/")]
    if bare and adopted and "." not in adopted.values() and not any(f.startswith("items.") for _, f, _ in fields):
        where = ", ".join(f"{{items.{name}}}" for name in adopted)
        yield f"the resume template gives {{{bare[0]}}}, the checkpoint's folder; the trainer's files are in {where}"
    originals = {path.resolve(): name for name, path in given.items()}
    for argument in argv:
        name = originals.get(Path(argument.rpartition("=")[2] or ".").resolve())
        if name is not None:
            field = "path" if only_one(manifest) else f"items.{name}"
            yield f"the resume template names {argument!r}, which the trainer may remove; {{{field}}} is the copy"
