"""Objects by any file system of fsspec: for services that have no room of their own here.

Nothing is known of what such a service does in one step, so nothing is promised but ranges: a write looks first.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ckptkit.storage.objects.service import Info, Level, Only, Power, Unmet

_VERSIONS = ("etag", "ETag", "e_tag", "generation", "version_id", "ino", "md5", "checksum", "content_md5")
_TIMES = ("mtime", "modified", "LastModified", "last_modified", "updated", "created")


class FilesystemRequests:
    """Requests through a file system of fsspec.

    Args:
        system: the file system, without a cache of listings.
        root: path there, without ``/`` at its end.
        url: how it is called; without credentials.
    """

    powers: frozenset[Power] = frozenset({"ranges"})

    def __init__(self, system: Any, root: str, url: str) -> None:
        self.system, self.root, self.url = system, root, url

    def path(self, key: str) -> str:
        """Return where an object is in the file system."""
        return f"{self.root}/{key}" if key else self.root

    def info(self, key: str, told: dict[str, Any]) -> Info:
        """Return what the file system tells, in our words."""
        size = int(told.get("size") or 0)
        moment = next((when for name in _TIMES if (when := _moment(told.get(name)))), datetime.fromtimestamp(0, UTC))
        said = next((str(told[name]) for name in _VERSIONS if told.get(name)), "")
        return Info(key, size, f"{said}-{moment.timestamp():.6f}-{size}", moment)

    def look(self, key: str) -> Info:
        """Return what is known of an object."""
        self.system.invalidate_cache()
        told = self.system.info(self.path(key))
        if told.get("type") != "file":
            raise FileNotFoundError(key)
        return self.info(key, told)

    def level(self, prefix: str) -> Level:
        """Return what lies right below a prefix; an empty folder counts as one."""
        self.system.invalidate_cache()
        folder, slash, start = prefix.rpartition("/")
        own = self.path(folder).rstrip("/")
        try:
            told = self.system.ls(own, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return Level((), ())
        folders: list[str] = []
        objects: list[Info] = []
        for one in told:
            path = str(one["name"]).rstrip("/")
            name = path.rpartition("/")[2]
            if path.strip("/") == own.strip("/") or not name.startswith(start):
                continue  # some services list a folder in itself
            if one.get("type") == "directory":
                folders.append(name[len(start) :])
            elif one.get("type") == "file":  # a link is neither
                objects.append(self.info(f"{folder}{slash}{name}", one))
        return Level(tuple(sorted(folders)), tuple(sorted(objects, key=lambda info: info.key)))

    def read(self, key: str, start: int, length: int | None) -> tuple[bytes, Info]:
        """Return bytes of an object from a place on; they are of one version, or this is tried again."""
        info = self.look(key)
        end = info.size if length is None else min(info.size, start + length)
        if start >= end:
            return b"", info
        with self.system.open(self.path(key), "rb", cache_type="none") as stream:  # cat_file of some ignores the range
            stream.seek(start)
            data = stream.read(end - start)
        if self.look(key).version != info.version:
            raise EOFError("it was written over while it was read")
        return bytes(data), info

    def write(self, key: str, data: bytes, only: Only | None) -> Info:
        """Write an object; a condition is looked at just before."""
        self.meet(key, only)
        self.make_folder(key)
        self.system.pipe_file(self.path(key), data)
        info = self.look(key)
        if info.size != len(data):
            raise EOFError("what was written is incomplete")
        return info

    def meet(self, key: str, only: Only | None) -> None:
        """Raise Unmet unless a condition is met now."""
        if only is None:
            return
        try:
            there: str | None = self.look(key).version
        except FileNotFoundError:
            there = None
        if there != only.version:
            raise Unmet(key)

    def make_folder(self, key: str) -> None:
        """Make the folder of an object where the file system has folders."""
        with suppress(FileExistsError, NotImplementedError):
            self.system.makedirs(os.path.dirname(self.path(key)), exist_ok=True)

    def upload(self, key: str, path: Path) -> Info:
        """Write a file."""
        self.make_folder(key)
        self.system.put_file(str(path), self.path(key))
        return self.look(key)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects."""
        for key in keys:
            with suppress(FileNotFoundError):
                self.system.rm_file(self.path(key))

    def delete_only(self, key: str, version: str) -> None:
        """Remove an object that has this version, by looking just before."""
        self.meet(key, Only(version))
        self.delete([key])

    def copy(self, source: str, target: str) -> Info:
        """Copy an object."""
        self.make_folder(target)
        self.system.cp_file(self.path(source), self.path(target))
        return self.look(target)

    def unfinished(self, prefix: str, older: float) -> list[str]:
        """Return nothing: fsspec knows of none."""
        return []

    def abort(self, upload: str) -> None:
        """Do nothing."""


def _moment(told: object) -> datetime | None:
    if isinstance(told, datetime):
        return told if told.tzinfo else told.replace(tzinfo=UTC)
    if isinstance(told, int | float):
        return datetime.fromtimestamp(told, UTC)
    if isinstance(told, str):
        with suppress(ValueError):
            moment = datetime.fromisoformat(told)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None
