"""What an in-memory store keeps: bytes by key, as an object store does. There are no folders, only common prefixes."""

import itertools
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ckptkit.layouts import Listing


@dataclass(frozen=True, slots=True)
class Object:
    """The content of one key.

    Attributes:
        data: all of it.
        generation: another number with each write, in the whole store.
    """

    data: bytes
    generation: int


class Objects:
    """Keys with ``/`` between their parts. Hold ``lock`` around what must happen in one step."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._objects: dict[str, Object] = {}
        self._generations = itertools.count(1)

    @property
    def size(self) -> int:
        """Bytes of all objects."""
        with self.lock:
            return sum(len(one.data) for one in self._objects.values())

    def get(self, key: str) -> Object | None:
        """Return an object, or None."""
        with self.lock:
            return self._objects.get(key)

    def put(self, objects: Mapping[str, bytes]) -> None:
        """Write objects, all of them in one step, also over what is there."""
        with self.lock:
            self._objects |= {key: Object(bytes(data), next(self._generations)) for key, data in objects.items()}

    def move(self, keys: Iterable[str], source: str, target: str) -> None:
        """Give keys that begin with one prefix another one, all of them in one step; they stay the same objects."""
        with self.lock:
            for key in list(keys):
                self._objects[target + key.removeprefix(source)] = self._objects.pop(key)

    def drop(self, prefix: str) -> None:
        """Remove all keys that begin with a prefix."""
        with self.lock:
            for key in self.below(prefix):
                del self._objects[key]

    def below(self, prefix: str) -> list[str]:
        """Return the keys that begin with a prefix, in order."""
        with self.lock:
            return sorted(key for key in self._objects if key.startswith(prefix))

    def is_folder(self, path: str) -> bool:
        """Return whether keys lie below a path."""
        with self.lock:
            return any(key.startswith(f"{path}/") for key in self._objects)

    def has(self, path: str) -> bool:
        """Return whether there is anything at a path: an object, or keys below it."""
        return self.get(path) is not None or self.is_folder(path)

    def behind_object(self, path: str) -> bool:
        """Return whether a parent of a path is an object, so that it can have nothing below it."""
        parts = path.split("/")
        return any(self.get("/".join(parts[:depth])) is not None for depth in range(1, len(parts)))

    def listing(self, prefix: str) -> Listing:
        """Return what lies right below a prefix, as layouts look at it."""
        rests = [key.removeprefix(prefix) for key in self.below(prefix)]
        folders = {rest.partition("/")[0] for rest in rests if "/" in rest}
        return Listing(sorted(folders), [r for r in rests if "/" not in r], lambda path: self.has(prefix + path))
