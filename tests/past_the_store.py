"""Writes files of a store on an object service as a person or another program does: past the store."""

from ckptkit.layouts.own_names import MANIFEST_NAME
from ckptkit.storage.objects.member import LONGEST, parted
from ckptkit.storage.objects.service import Objects


def write(objects: Objects, path: str, data: bytes) -> None:
    """Write a file; of a checkpoint that was saved there, where its payload lies.

    Args:
        objects: the service, opened at the root of the store.
        path: as in a folder: the run, the checkpoint's name, the file.
        data: its content.
    """
    parts = path.split("/")
    for depth in range(1, len(parts)):
        around, rest = "/".join(parts[:depth]), "/".join(parts[depth:])
        if rest == MANIFEST_NAME or objects.look(f"{around}/{MANIFEST_NAME}") is None:
            continue
        place = parted(objects.read(f"{around}/{MANIFEST_NAME}", 0, LONGEST)[0])[1]
        if place is not None:
            objects.write(f"{around.removesuffix(parts[depth - 1])}.ckptkit/data/{place}/{rest}", data)
            return
    objects.write(path, data)
