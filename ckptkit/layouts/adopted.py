"""What a trainer wrote, and a manifest beside it that names it and its step: ``last.ckpt@48.manifest.json``."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ckptkit.layouts import own_names as names
from ckptkit.layouts.interface import Listing

SEPARATOR = "@"


@dataclass(frozen=True, slots=True)
class Adopted:
    """The layout of ``adopt``: nothing is written into a trainer's folder, and a name need not tell the step.

    Before the ``@`` stands the main file or the folder of the checkpoint. A trainer that removes it takes away the
    checkpoint: what is left of it is no half one.
    """

    kind: str = "adopted"
    shared: bool = True

    def find(self, listing: Listing) -> Iterator[str]:
        """Return what stands before ``.manifest.json``, where what it stands for is still there."""
        return (name for name, main in _manifests(listing) if listing.has(main))

    def name(self, step: int) -> str:
        """Return ``step-00005000@5000``; trainers have names of their own."""
        return adopted_name(names.step_folder(step), step)

    def path(self, item: str, file: str) -> str:
        """Return the file's path in the folder that holds the manifest: ``checkpoint-500/model.safetensors``."""
        return file

    def own(self, name: str, file: str) -> str:
        """Return ``checkpoint-500@500.manifest.json``."""
        return f"{name}.{file}"


ADOPTED = Adopted()


def orphans(listing: Listing) -> Iterator[str]:
    """Return what stands before ``.manifest.json`` where the trainer has removed what it stands for."""
    return (name for name, main in _manifests(listing) if not listing.has(main))


def parted(paths: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the files that lie right beside the manifest, and the folders beside it that the others lie in."""
    listed = list(paths)
    return [p for p in listed if "/" not in p], sorted({p.partition("/")[0] for p in listed if "/" in p})


def _manifests(listing: Listing) -> Iterator[tuple[str, str]]:
    for file in listing.files:
        name = file.removesuffix(names.SIDECAR_SUFFIX)
        if name != file and (main := main_of(name)) is not None:
            yield name, main


def adopted_name(main: str, step: int) -> str:
    """Return the name of the checkpoint of a step that has this main file or folder."""
    return f"{main}{SEPARATOR}{step}"


def main_of(name: str) -> str | None:
    """Return the main file or folder that a name stands for; None where it is no such name."""
    main, _, step = name.rpartition(SEPARATOR)
    return main if main and step.isascii() and step.isdigit() and len(step) <= 13 else None
