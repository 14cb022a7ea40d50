"""The time by the clock of the service: machines have clocks of their own, and what is old is old by one of them."""

from datetime import datetime

from ckptkit.errors import StoreError
from ckptkit.storage.objects.keys import RunKeys
from ckptkit.storage.objects.service import Info, Objects


def now(objects: Objects, run: str) -> datetime:
    """Return the time, which an object tells that is written for that."""
    return told(objects, RunKeys(run).lease("clock"))


def told(objects: Objects, key: str) -> datetime:
    """Write an object of no use, and return when the service says that it did."""
    written = objects.write(key, b"")
    info = written if isinstance(written, Info) else objects.look(key)
    if info is None:
        raise StoreError(f"{objects.url}/{key}: is gone right after it was written", hint="try it again")
    return info.modified
