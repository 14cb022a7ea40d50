"""What belongs to a run and to no checkpoint: small files, and the locks around them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ckptkit.errors import ConflictError
from ckptkit.manifest.names import check_run
from ckptkit.storage.interface import Lock
from ckptkit.storage.objects.keys import RunKeys
from ckptkit.storage.objects.leases import Leases
from ckptkit.storage.objects.service import Objects, Only, Unmet
from ckptkit.storage.run_locks import RunLocks

_CHANGE, _HOLD = "change", "hold"
_WAIT = 5.0  # seconds for another process that changes the run


class States:
    """The states and locks of all runs, for one store in one process.

    Args:
        objects: the service.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._leases = Leases(objects)
        self._locks: dict[str, RunLocks] = {}
        self._guard = threading.Lock()
        self._seen = threading.local()  # by key, the version that this thread has read under a lock

    def read(self, run: str, name: str, limit: int) -> bytes | None:
        """See ``Storage.read_state``."""
        key, version = RunKeys(run).state(name), None
        try:
            data, info = self._objects.read(key, 0, limit + 1)
            version = info.version
        except FileNotFoundError:
            data = None
        if (seen := self._versions) is not None:
            seen[key] = version
        return data

    def replace(self, run: str, name: str, data: bytes) -> None:
        """See ``Storage.replace_state``: under a lock, only over what was read under it."""
        key, seen = RunKeys(run).state(name), self._versions
        only = Only(seen[key]) if seen is not None and key in seen else None
        try:
            info = self._objects.write(key, data, only)
        except Unmet:
            raise ConflictError(
                f"{self._objects.url}/{key}: another process has changed it", hint="try it again; nothing was changed"
            ) from None
        if seen is not None:
            seen[key] = info.version

    @property
    def _versions(self) -> dict[str, str | None] | None:
        return getattr(self._seen, "versions", None)

    @contextmanager
    def locked(self, run: str, lock: Lock) -> Iterator[None]:
        """See ``Storage.locked``: threads wait for each other, and processes for a lease."""
        with self._guard:
            locks = self._locks.setdefault(run, RunLocks(run))
        if lock == "save":
            with locks.save():
                yield
            return
        key = RunKeys(run).lease(_CHANGE)
        with locks.change() if lock == "change" else locks.refs():
            self._leases.take(key, run, "changed", _WAIT)
            self._seen.versions = {}
            try:
                yield
            finally:
                self._seen.versions = None
                self._leases.let_go(key)

    def hold(self, run: str) -> None:
        """See ``Storage.hold``."""
        key = RunKeys(check_run(run)).lease(_HOLD)
        with self._guard:
            if not self._leases.holds(key):
                self._leases.take(key, run, "written", from_own=True)

    def release(self, run: str) -> None:
        """See ``Storage.release``."""
        self._leases.let_go(RunKeys(run).lease(_HOLD))
