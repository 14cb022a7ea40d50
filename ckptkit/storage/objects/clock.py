"""The time by the clock of the service: machines have clocks of their own, and what is old is old by one of them."""

from datetime import datetime

from ckptkit.storage.objects.keys import RunKeys
from ckptkit.storage.objects.service import Objects


def now(objects: Objects, run: str) -> datetime:
    """Return the time, which an object tells that is written for that."""
    return objects.write(RunKeys(run).lease("clock"), b"").modified
