"""How an object store is: whether it can be read and written, and what its service can do, found out by doing it."""

import uuid
from collections.abc import Iterator

from ckptkit.errors import CkptkitError
from ckptkit.health import Finding
from ckptkit.storage.objects import probing
from ckptkit.storage.objects.requests import SupportsUnseen
from ckptkit.storage.objects.service import NEW, Objects


def examine(objects: Objects) -> Iterator[Finding]:
    """Yield what there is to say about the store; whatever is wrong with it is said, never raised."""
    try:
        next(iter(objects.below("")), None)
    except CkptkitError as error:
        yield Finding("store", "there", "problem", error.message, error.hint)
        return
    yield Finding("store", "there", "ok", f"{objects.url} can be read", details={"url": objects.url})
    yield from probing.examine(objects)
    if isinstance(objects, SupportsUnseen) and (unseen := objects.unseen) is not None:
        told, _, todo = unseen.partition(": ")
        yield Finding(probing.ABOUT, "unfinished uploads", "warning", told, todo)


def probe(objects: Objects, state: str) -> None:
    """Do what a commit does, in small, and take it back; raises StoreError."""
    key = f"{state}probe-{uuid.uuid4().hex}"
    objects.write(key, b"probe", NEW)
    objects.delete([key])
