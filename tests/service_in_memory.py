"""An object service in the memory of this process, with all that a good one has, and ways to let it fail."""

import io
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from ckptkit.layouts import Listing
from ckptkit.layouts.own_names import MANIFEST_NAME
from ckptkit.storage.objects.member import parted, with_place
from ckptkit.storage.objects.service import Info, Level, Objects, Only, Power, Unmet
from ckptkit.testing.memory_objects import Object

POWERS: frozenset[Power] = frozenset(("create", "swap", "ranges", "checksums", "replace"))
_names = itertools.count(1)


class ServiceInMemory:
    """See ``ckptkit.storage.objects.service.Objects``.

    Attributes:
        content: bytes and what is known of each object, by key.
        uploads: begun and not finished, by name: a key, and when.
    """

    def __init__(self, url: str | None = None) -> None:
        self.url = url or f"test://{next(_names)}"
        self.powers = POWERS
        self.content: dict[str, tuple[bytes, Info]] = {}
        self.uploads: dict[str, tuple[str, datetime]] = {}
        self._versions = itertools.count(1)
        self._lock = threading.RLock()

    def look(self, key: str) -> Info | None:
        with self._lock:
            found = self.content.get(key)
            return None if found is None else found[1]

    def level(self, prefix: str) -> Level:
        assert prefix == "" or prefix.endswith("/")
        folders: dict[str, None] = {}
        objects = []
        for info in self.below(prefix):
            name, slash, _ = info.key.removeprefix(prefix).partition("/")
            if slash:
                folders[name] = None
            else:
                objects.append(info)
        return Level(tuple(folders), tuple(objects))

    def below(self, prefix: str) -> Iterator[Info]:
        with self._lock:
            found = sorted(key for key in self.content if key.startswith(prefix))
            return iter([self.content[key][1] for key in found])

    def read(self, key: str, start: int = 0, length: int | None = None) -> tuple[bytes, Info]:
        with self._lock:
            if key not in self.content:
                raise FileNotFoundError(key)
            data, info = self.content[key]
        return data[start:] if length is None else data[start : start + length], info

    def open(self, key: str) -> BinaryIO:
        return io.BytesIO(self.read(key)[0])

    def write(self, key: str, data: bytes, only: Only | None = None) -> Info:
        assert key
        assert "//" not in key
        with self._lock:
            there = self.content.get(key)
            if only is not None and only.version != (None if there is None else there[1].version):
                raise Unmet(key)
            info = Info(key, len(data), f"v{next(self._versions)}", datetime.now(UTC))
            self.content[key] = bytes(data), info
            return info

    def upload(self, key: str, path: Path) -> Info:
        return self.write(key, path.read_bytes())

    def delete(self, keys: Iterable[str]) -> None:
        with self._lock:
            for key in keys:
                self.content.pop(key, None)

    def delete_only(self, key: str, version: str) -> None:
        with self._lock:
            if key not in self.content or self.content[key][1].version != version:
                raise Unmet(key)
            del self.content[key]

    def copy(self, source: str, target: str) -> Info:
        return self.write(target, self.read(source)[0])

    def unfinished(self, prefix: str, older: float) -> list[str]:
        now = datetime.now(UTC)
        begun = [(name, key, at) for name, (key, at) in self.uploads.items() if key.startswith(prefix)]
        return [name for name, _, at in begun if (now - at).total_seconds() >= older]

    def abort(self, upload: str) -> None:
        self.uploads.pop(upload, None)


class StoreFiles:
    """The files of a store, seen as if its checkpoints were folders: to be changed as others do, past the store."""

    def __init__(self, service: Objects) -> None:
        assert isinstance(service, ServiceInMemory)
        self._service = service

    def _folders(self) -> dict[str, str]:
        """Return by the prefix of each checkpoint's files what their keys begin with."""
        found = {}
        for key, (data, _) in self._service.content.items():
            around, _, name = key.rpartition("/")
            place = parted(data)[1] if name == MANIFEST_NAME else None
            if place is not None and "/.ckptkit/" not in f"/{key}":
                run = around.rpartition("/")[0]
                found[f"{around}/"] = f"{run}/.ckptkit/data/{place}/" if run else f".ckptkit/data/{place}/"
        return found

    def key(self, path: str) -> str:
        """Return the key of a file."""
        for seen, real in self._folders().items():
            if path.startswith(seen) and path != f"{seen}{MANIFEST_NAME}":
                return real + path.removeprefix(seen)
        return path

    def _paths(self) -> dict[str, str]:
        folders = {real: seen for seen, real in self._folders().items()}
        found = {}
        for key in self._service.content:
            real = next((real for real in folders if key.startswith(real)), "")
            found[folders.get(real, "") + key.removeprefix(real)] = key
        return found

    def get(self, path: str) -> Object | None:
        found = self._service.content.get(self.key(path))
        return None if found is None else Object(parted(found[0])[0], 0)

    def put(self, files: Mapping[str, bytes]) -> None:
        for path, data in files.items():
            there = self._service.content.get(path)
            place = None if there is None else parted(there[0])[1]
            stays = place is not None and data.startswith(b"{")
            self._service.write(self.key(path), with_place(data, str(place)) if stays else data)

    def below(self, prefix: str) -> list[str]:
        return sorted(path for path in self._paths() if path.startswith(prefix))

    def has(self, path: str) -> bool:
        return path in self._paths() or bool(self.below(f"{path}/"))

    def listing(self, prefix: str) -> Listing:
        rests = [path.removeprefix(prefix) for path in self.below(prefix)]
        folders = {rest.partition("/")[0] for rest in rests if "/" in rest}
        return Listing(sorted(folders), [r for r in rests if "/" not in r], lambda path: self.has(prefix + path))

    def move(self, paths: Iterable[str], source: str, target: str) -> None:
        moved = [(path, self.key(path), self.get(path)) for path in paths]
        self._service.delete([key for _, key, _ in moved])
        for path, _, found in moved:
            assert found is not None
            self._service.write(target + path.removeprefix(source), found.data)

    def drop(self, prefix: str) -> None:
        """Delete files; what is left of a checkpoint without its manifest lies where a copy would lie."""
        around = prefix.removesuffix(MANIFEST_NAME)
        if around != prefix and around in self._folders():
            self.move([path for path in self.below(around) if path != prefix], around, around)
        self._service.delete([self.key(path) for path in self.below(prefix)])


class Stopped(BaseException):
    """The process dies here."""


class StoppingService(ServiceInMemory):
    """Stops at one of the requests that change anything, and lets nothing more through.

    Args:
        of: whose objects these are, before and after.
        at: the number of that request, from 1; None: it counts only.
        done: whether that request is carried out, and only its answer lost.
        error: makes what is raised.
    """

    def __init__(
        self, of: ServiceInMemory, at: int | None, *, done: bool, error: Callable[[], BaseException] = Stopped
    ) -> None:
        super().__init__()
        self.url, self.content, self.uploads = of.url, of.content, of.uploads
        self._versions, self._lock = of._versions, of._lock
        self.changes, self.stopped = 0, False
        self._at, self._done, self._error = at, done, error

    def _change(self, change: Callable[[], Info | None]) -> Info | None:
        with self._lock:
            self._require_alive()
            self.changes += 1
            if self.changes != self._at:
                return change()
            if self._done:
                change()
            self.stopped = True
            raise self._error()

    def _require_alive(self) -> None:
        if self.stopped:
            raise self._error()

    def look(self, key: str) -> Info | None:
        self._require_alive()
        return super().look(key)

    def below(self, prefix: str) -> Iterator[Info]:
        self._require_alive()
        return super().below(prefix)

    def read(self, key: str, start: int = 0, length: int | None = None) -> tuple[bytes, Info]:
        self._require_alive()
        return super().read(key, start, length)

    def write(self, key: str, data: bytes, only: Only | None = None) -> Info:
        return _info(self._change(lambda: super(StoppingService, self).write(key, data, only)))

    def delete(self, keys: Iterable[str]) -> None:
        for key in list(keys):  # a service may stop in the middle of many
            self._change(lambda key=key: super(StoppingService, self).delete([key]))  # type: ignore[misc]

    def delete_only(self, key: str, version: str) -> None:
        self._change(lambda: super(StoppingService, self).delete_only(key, version))


def _info(found: Info | None) -> Info:
    assert found is not None
    return found
