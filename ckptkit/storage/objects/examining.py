"""How an object store is: whether it can be read and written, and what its service can do, as far as is known."""

import uuid
from collections.abc import Iterator
from typing import get_args

from ckptkit.errors import CkptkitError
from ckptkit.health import Finding
from ckptkit.storage.objects.service import NEW, Objects, Power, Unmet

_MEANS: dict[Power, str] = {
    "create": "of two saves of one step both may seem to succeed",
    "swap": "pins and tags that two processes change at once may be lost",
    "ranges": "every look into a file reads it from its start",
    "checksums": "what is damaged on its way there is found by `ckptkit verify` only",
    "replace": "who reads while something is replaced may get a part of it",
}


def examine(objects: Objects) -> Iterator[Finding]:
    """Yield what there is to say about the store; whatever is wrong with it is said, never raised."""
    try:
        next(iter(objects.below("")), None)
    except CkptkitError as error:
        yield Finding("store", "there", "problem", error.message, error.hint)
        return
    yield Finding("store", "there", "ok", f"{objects.url} can be read", details={"url": objects.url})
    yield _writable(objects)
    missing = [power for power in get_args(Power) if power not in objects.powers]
    for power in missing:
        yield Finding("store", power, "warning", f"the service has no {power}: {_MEANS[power]}")
    if not missing:
        yield Finding("store", "powers", "ok", f"the service has {', '.join(get_args(Power))}, by its kind")


def _writable(objects: Objects) -> Finding:
    try:
        probe(objects, "")
    except (CkptkitError, Unmet) as error:
        hint = error.hint if isinstance(error, CkptkitError) else ""
        return Finding("store", "writable", "problem", str(error) or "an object of a new name is refused", hint)
    return Finding("store", "writable", "ok", "an object was created and removed again")


def probe(objects: Objects, state: str) -> None:
    """Do what a commit does, in small, and take it back; raises StoreError."""
    key = f"{state}probe-{uuid.uuid4().hex}"
    objects.write(key, b"probe", NEW)
    objects.delete([key])
