"""Objects of S3 and Azure, through obstore: requests in Rust, of which threads make many at a time."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ckptkit.storage.objects.service import Info, Level, Only, Unmet, Written

_PART = 1 << 23  # bytes of one request of an upload, if that makes few enough
_PARTS = 9_000  # of an upload; S3 takes 10,000
_HELD = 1 << 26  # bytes of parts under way
_MOST = 8  # parts under way
_PAGE = 1000  # objects of one answer


class ObstoreRequests:
    """Requests to one prefix of a bucket.

    Args:
        store: of obstore, which tries nothing again.
        patient: the same, but it tries again by itself: parts of an upload, and pages of a listing.
        prefix: of the keys, without ``/`` at its end.
        url: how it is called.
    """

    def __init__(self, store: Any, patient: Any, prefix: str, url: str) -> None:
        self._store, self._patient, self.url = store, patient, url
        self._prefix = f"{prefix}/" if prefix else ""

    def _info(self, told: Any) -> Info:
        key = str(told["path"])[len(self._prefix) :]
        return Info(key, told["size"], _version(told), told["last_modified"])

    def look(self, key: str) -> Info:
        """Return what is known of an object."""
        return self._info(self._store.head(self._prefix + key))

    def level(self, prefix: str) -> Level:
        """Return what lies right below a prefix."""
        folder, _, start = prefix.rpartition("/")
        told = self._store.list_with_delimiter(f"{self._prefix}{folder}" or None)
        cut = len(self._prefix) + len(folder) + bool(folder)
        folders = (name.rstrip("/")[cut:] for name in told["common_prefixes"])
        objects = (self._info(one) for one in told["objects"])
        return Level(
            tuple(sorted(name[len(start) :] for name in folders if name.startswith(start))),
            tuple(sorted((info for info in objects if info.key.startswith(prefix)), key=lambda info: info.key)),
        )

    def pages(self, prefix: str) -> Iterator[Sequence[Info]]:
        """Yield all objects below a prefix."""
        folder, _, rest = prefix.rpartition("/")
        # obstore lists whole folders: of one, what comes before is skipped by the service, if it can, and what comes
        # after is not asked for. A service that keeps folders lists "a/x" before "a-b": names are compared, not keys.
        before = f"{self._prefix}{prefix[:-1]}" if rest else None
        for page in self._patient.list(f"{self._prefix}{folder}" or None, offset=before, chunk_size=_PAGE):
            infos = [self._info(one) for one in page]
            yield [info for info in infos if info.key.startswith(prefix)]
            name = infos[-1].key[len(prefix) - len(rest) :].partition("/")[0] if infos else ""
            if rest and name > rest and not name.startswith(rest):
                return

    def read(self, key: str, start: int, length: int | None) -> tuple[bytes, Info]:
        """Return bytes of an object from a place on; they come with what the object is, in one answer."""
        options: dict[str, Any] = {}
        if length is not None:
            options["range"] = (start, start + length)
        elif start:
            options["range"] = {"offset": start}
        if length == 0:
            return b"", self.look(key)
        try:
            got = self._store.get(self._prefix + key, options=options)
        except FileNotFoundError:
            raise
        except Exception:  # a range that begins past the end is refused, with words that differ
            if options and (info := self.look(key)).size <= start:
                return b"", info
            raise
        info = self._info(got.meta)
        return bytes(got.bytes()), info

    def write(self, key: str, data: bytes, only: Only | None) -> Written:
        """Write an object."""
        mode: Any = "overwrite"
        if only is not None:
            mode = "create" if only.version is None else {"e_tag": f'"{only.version}"'}
        try:
            put = self._store.put(self._prefix + key, data, mode=mode, use_multipart=False)
        except Exception as error:
            if _is_unmet(error):
                raise Unmet(key) from None
            raise
        return self._written(key, len(data), put)

    def _written(self, key: str, size: int, put: Any) -> Written:
        version = _version(put)
        return Written(key, size, version) if version else self.look(key)

    def upload(self, key: str, path: Path) -> Written:
        """Write a file: the service refuses a part that does not fit its checksum."""
        size = os.stat(path).st_size
        part = max(_PART, -(-size // _PARTS))
        put = self._patient.put(
            self._prefix + key,
            path,
            use_multipart=size > part,
            chunk_size=part,
            max_concurrency=max(1, min(_MOST, _HELD // part)),
        )
        return self._written(key, size, put)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects."""
        paths = [self._prefix + key for key in keys]
        try:
            self._store.delete(paths)
        except FileNotFoundError:  # Azure says so, and may have left others
            for path in paths:
                with suppress(FileNotFoundError):
                    self._store.delete(path)

    def delete_only(self, key: str, version: str) -> None:
        """Remove an object that has this version, by looking just before."""
        try:
            there = self.look(key).version
        except FileNotFoundError:
            there = None
        if there != version:
            raise Unmet(key)
        self.delete([key])

    def copy(self, source: str, target: str) -> Info:
        """Copy an object."""
        self._store.copy(self._prefix + source, self._prefix + target)
        return self.look(target)

    def unfinished(self, prefix: str, older: float) -> list[str]:
        """Return nothing, where nothing can be seen of it."""
        return []

    def abort(self, upload: str) -> None:
        """Do nothing."""


def _version(told: Any) -> str:
    """Return an etag without its quotes: a listing of Azure leaves them out."""
    return str(told["e_tag"] or told["version"] or "").strip('"')


def _is_unmet(error: Exception) -> bool:
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    if "ConditionalRequestConflict" in str(error):
        return False  # two were written at a time, and S3 asks both to try again
    return isinstance(error, AlreadyExistsError | PreconditionError)
