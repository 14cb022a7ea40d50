"""Objects as files of a server over SFTP.

A file is written under a name of its own, ``NAME.part-...``, and then renamed: OpenSSH's plain rename refuses a name
that is taken, which makes create-only; its ``posix-rename`` replaces in one step. It cannot swap: a write over a known
version looks just before. SFTP tells times in whole seconds, so a small file's version holds the MD5 of its content.
"""

import hashlib
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ckptkit.storage.objects.service import Info, Level, Only, Power, Unmet
from ckptkit.storage.objects.ssh import Channels

_PART = re.compile(r"\.part-[0-9a-f]{32}$")
_SMALL = 1 << 20  # bytes: what may be written over is smaller, and is read for its version
_BLOCK = 1 << 20  # bytes of one read or write
_ANSWER = 1 << 15  # bytes that a server sends at a time
_LONGEST = 200  # characters that a name keeps in that of its part
_TRIES = 5
_FOLDER = 0o040000  # of a file's mode, as in stat.S_IFDIR
_REGULAR = 0o100000
_KIND = 0o170000


class SftpRequests:
    """Requests to one folder of a server.

    Args:
        channels: to the server.
        root: the folder, without ``/`` at its end.
        url: how it is called; without a password.
    """

    powers: frozenset[Power] = frozenset({"create", "ranges", "replace"})

    def __init__(self, channels: Channels, root: str, url: str) -> None:
        self._channels, self._root, self.url = channels, root, url

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}" if key else self._root or "/"

    def look(self, key: str) -> Info:
        """Return what is known of an object."""
        with self._channels.use() as sftp:
            return self._looked(sftp, key)

    def _looked(self, sftp: Any, key: str) -> Info:
        attributes = sftp.lstat(self._path(key))
        if attributes.st_mode & _KIND != _REGULAR:
            raise FileNotFoundError(key)
        return self._info(sftp, key, attributes)

    def _info(self, sftp: Any, key: str, attributes: Any) -> Info:
        content = b""
        if attributes.st_size <= _SMALL:
            with sftp.open(self._path(key), "rb") as file:
                attributes = file.stat()
                content = _read(file, 0, attributes.st_size)
        return _told(key, attributes, content)

    def level(self, prefix: str) -> Level:
        """Return what lies right below a prefix; a folder that is empty counts as one."""
        folder, slash, start = prefix.rpartition("/")
        folders: list[str] = []
        objects: list[Info] = []
        with self._channels.use() as sftp:
            for name, attributes in self._listed(sftp, folder):
                if not name.startswith(start) or _PART.search(name):
                    continue
                if attributes.st_mode & _KIND == _FOLDER:
                    folders.append(name[len(start) :])
                elif attributes.st_mode & _KIND == _REGULAR:
                    with suppress(FileNotFoundError):
                        objects.append(self._info(sftp, f"{folder}{slash}{name}", attributes))
        return Level(tuple(folders), tuple(objects))

    def _listed(self, sftp: Any, folder: str) -> list[tuple[str, Any]]:
        try:
            found = sftp.listdir_attr(self._path(folder))
        except FileNotFoundError:
            return []
        return sorted(((one.filename, one) for one in found), key=lambda pair: pair[0])

    def read(self, key: str, start: int, length: int | None) -> tuple[bytes, Info]:
        """Return bytes of an object from a place on; a file that is replaced meanwhile stays what it was."""
        with self._channels.use() as sftp, sftp.open(self._path(key), "rb") as file:
            attributes = file.stat()
            size = attributes.st_size
            end = size if length is None else min(size, start + length)
            if size <= _SMALL:
                content = _read(file, 0, size)
                return content[start:end], _told(key, attributes, content)
            return _read(file, start, end - start), _told(key, attributes, b"")

    def write(self, key: str, data: bytes, only: Only | None) -> Info:
        """Write an object."""

        def fill(file: Any) -> int:
            file.write(data)
            return len(data)

        with self._channels.use() as sftp:
            return self._put(sftp, key, fill, only)

    def upload(self, key: str, path: Path) -> Info:
        """Write a file."""

        def fill(file: Any) -> int:
            with path.open("rb") as source:
                while block := source.read(_BLOCK):
                    file.write(block)
                return source.tell()

        with self._channels.use() as sftp:
            return self._put(sftp, key, fill, None)

    def copy(self, source: str, target: str) -> Info:
        """Copy an object, through this machine."""
        with self._channels.use() as sftp, sftp.open(self._path(source), "rb") as there:
            size = there.stat().st_size

            def fill(file: Any) -> int:
                for start in range(0, size, _BLOCK):
                    file.write(_read(there, start, min(_BLOCK, size - start)))
                return int(size)

            return self._put(sftp, target, fill, None)

    def _put(self, sftp: Any, key: str, fill: Callable[[Any], int], only: Only | None) -> Info:
        folder, _, name = key.rpartition("/")
        part = f"{folder}/{name[:_LONGEST]}.part-{uuid.uuid4().hex}".removeprefix("/")
        try:
            with self._made(sftp, folder, part) as file:
                file.set_pipelined(True)  # else each 32 KiB wait for an answer
                size = fill(file)
                _flushed(sftp, file)
            if sftp.stat(self._path(part)).st_size != size:  # no answer to a pipelined write is looked at
                raise OSError("No space left: what was written is incomplete")
            self._place(sftp, part, key, only)
        except BaseException:
            with suppress(Exception):
                sftp.remove(self._path(part))
            raise
        return self._looked(sftp, key)

    def _made(self, sftp: Any, folder: str, part: str) -> Any:
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):
                return sftp.open(self._path(part), "wx")
            self._make(sftp, self._path(folder))  # or it was removed as an empty one between these two lines
        return sftp.open(self._path(part), "wx")

    def _make(self, sftp: Any, folder: str) -> None:
        try:
            sftp.mkdir(folder)
        except FileNotFoundError:
            self._make(sftp, folder.rpartition("/")[0])
            self._make(sftp, folder)
        except OSError:
            if sftp.stat(folder).st_mode & _KIND != _FOLDER:
                raise

    def _place(self, sftp: Any, part: str, key: str, only: Only | None) -> None:
        """Give what was written its name."""
        if only is None or only.version is not None:
            if only is not None and self._version(sftp, key) != only.version:
                raise Unmet(key)
            sftp.posix_rename(self._path(part), self._path(key))
            return
        try:
            sftp.rename(self._path(part), self._path(key))
        except OSError:
            if self._version(sftp, key) is not None:
                raise Unmet(key) from None
            raise

    def _version(self, sftp: Any, key: str) -> str | None:
        try:
            return self._looked(sftp, key).version
        except FileNotFoundError:
            return None

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, and the folders that are empty then."""
        with self._channels.use() as sftp:
            for key in keys:
                with suppress(FileNotFoundError):
                    sftp.remove(self._path(key))
            for folder in sorted({key.rpartition("/")[0] for key in keys}, reverse=True):
                self._remove_empty(sftp, folder)

    def _remove_empty(self, sftp: Any, folder: str) -> None:
        with suppress(OSError):
            while folder:
                sftp.rmdir(self._path(folder))
                folder = folder.rpartition("/")[0]

    def delete_only(self, key: str, version: str) -> None:
        """Remove an object that has this version, by looking just before."""
        with self._channels.use() as sftp:
            if self._version(sftp, key) != version:
                raise Unmet(key)
        self.delete([key])

    def unfinished(self, prefix: str, older: float) -> list[str]:
        """Return the parts below a prefix, by the clock of the server."""
        with self._channels.use() as sftp:
            parts = list(self._parts(sftp, prefix))
            if not parts:
                return []
            now = self._now(sftp)
            return [key for key, written in parts if now - written > older or older <= 0]

    def _parts(self, sftp: Any, prefix: str) -> Iterator[tuple[str, int]]:
        folder, slash, start = prefix.rpartition("/")
        for name, attributes in self._listed(sftp, folder):
            if not name.startswith(start):
                continue
            key = f"{folder}{slash}{name}"
            if attributes.st_mode & _KIND == _FOLDER:
                yield from self._parts(sftp, f"{key}/")
            elif _PART.search(name):
                yield key, attributes.st_mtime

    def _now(self, sftp: Any) -> float:
        path = self._path(f"clock.part-{uuid.uuid4().hex}")
        with sftp.open(path, "wx") as file:
            now = float(file.stat().st_mtime)
        sftp.remove(path)
        return now

    def abort(self, upload: str) -> None:
        """Remove a part."""
        if _PART.search(upload):
            self.delete([upload])


def _told(key: str, attributes: Any, content: bytes) -> Info:
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest() if len(content) == attributes.st_size else ""
    version = f"{attributes.st_mtime}-{attributes.st_size}-{digest}"
    return Info(key, attributes.st_size, version, datetime.fromtimestamp(attributes.st_mtime, UTC))


def _read(file: Any, start: int, length: int) -> bytes:
    """Return a range, asked for answer by answer: the library puts together longer ones in quadratic time."""
    end = start + length
    return b"".join(file.readv([(at, min(_ANSWER, end - at)) for at in range(start, end, _ANSWER)]))


def _flushed(sftp: Any, file: Any) -> None:
    """Have the server write it to its disk, where it can: OpenSSH's ``fsync@openssh.com``."""
    from paramiko.sftp import CMD_EXTENDED

    file.flush()
    try:
        sftp._request(CMD_EXTENDED, "fsync@openssh.com", file.handle)
    except OSError as error:
        if "unsupported" not in str(error).lower():
            raise
