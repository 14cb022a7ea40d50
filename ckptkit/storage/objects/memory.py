"""Objects in the memory of this process, by fsspec's ``memory://``: gone with it; for tests, and to try things out."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ckptkit.storage.objects.service import Info, Level, Only, Power, Unmet

_LOCK = threading.RLock()  # fsspec's store is one for the whole process, and no step of it is atomic


class MemoryRequests:
    """Requests to fsspec's store of this process.

    Args:
        root: path there, ``/`` before each part; empty for all of it.
    """

    powers: frozenset[Power] = frozenset({"create", "swap", "ranges", "replace"})

    def __init__(self, root: str) -> None:
        import fsspec

        self._root = root
        self._system = fsspec.filesystem("memory", skip_instance_cache=True)

    @property
    def url(self) -> str:
        """What opens it again, in this process."""
        return f"memory:/{self._root or '/'}"

    def look(self, key: str) -> Info:
        """Return what is known of an object."""
        return self._info(key, self._file(key))

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _file(self, key: str) -> Any:
        try:
            return self._system.store[self._path(key)]
        except KeyError:
            raise FileNotFoundError(key) from None

    def _info(self, key: str, file: Any) -> Info:
        # each write makes a new file; its address tells two of the same microsecond apart
        return Info(key, file.size, f"{file.created.isoformat()}-{id(file):x}", file.modified)

    def level(self, prefix: str) -> Level:
        """Return what lies right below a prefix."""
        folders: set[str] = set()
        objects: list[Info] = []
        for info in self._all(prefix):
            name, slash, _ = info.key[len(prefix) :].partition("/")
            if slash:
                folders.add(name)
            else:
                objects.append(info)
        return Level(tuple(sorted(folders)), tuple(objects))

    def pages(self, prefix: str) -> Iterator[Sequence[Info]]:
        """Yield all objects below a prefix."""
        yield self._all(prefix)

    def _all(self, prefix: str) -> list[Info]:
        start, cut = self._path(prefix), len(self._root) + 1
        with _LOCK:
            found = [(path[cut:], file) for path, file in self._system.store.items() if path.startswith(start)]
            return [self._info(key, file) for key, file in sorted(found, key=lambda pair: pair[0])]

    def read(self, key: str, start: int, length: int | None) -> tuple[bytes, Info]:
        """Return bytes of an object from a place on."""
        with _LOCK:
            file = self._file(key)
            end = None if length is None else start + length
            with file.getbuffer() as view:
                return bytes(view[start:end]), self._info(key, file)

    def write(self, key: str, data: bytes, only: Only | None) -> Info:
        """Write an object."""
        with _LOCK:
            if only is not None and self._version(key) != only.version:
                raise Unmet(key)
            self._system.pipe_file(self._path(key), data)
            return self.look(key)

    def _version(self, key: str) -> str | None:
        try:
            return self.look(key).version
        except FileNotFoundError:
            return None

    def upload(self, key: str, path: Path) -> Info:
        """Write a file."""
        return self.write(key, path.read_bytes(), None)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects."""
        with _LOCK:
            for key in keys:
                self._system.store.pop(self._path(key), None)

    def delete_only(self, key: str, version: str) -> None:
        """Remove an object that has this version."""
        with _LOCK:
            if self._version(key) != version:
                raise Unmet(key)
            self.delete([key])

    def copy(self, source: str, target: str) -> Info:
        """Copy an object."""
        with _LOCK:
            return self.write(target, self.read(source, 0, None)[0], None)

    def unfinished(self, prefix: str, older: float) -> list[str]:
        """Return nothing: what is written is there at once."""
        return []

    def abort(self, upload: str) -> None:
        """Do nothing."""
