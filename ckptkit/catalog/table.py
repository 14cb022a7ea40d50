"""A table of the cache: an SQLite file that may be lost, damaged, locked or read-only at any time; never an error.

Every call opens the file anew: nothing is carried through a fork or from thread to thread. Nothing is flushed to the
disk, as nothing is lost with it: after a power cut a line that is not whole fails its digest and is not believed.
"""

import os
import sqlite3
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from ckptkit.digest import digest_bytes

Line = tuple[str, str, str]
"""Run, name, text."""

_CREATE = (
    "CREATE TABLE IF NOT EXISTS {} (store BLOB, run BLOB, name BLOB, text TEXT, digest TEXT, "
    "PRIMARY KEY (store, run, name)) WITHOUT ROWID"
)
_WAIT = 0.5  # seconds for another process
_AT_ONCE = 500  # names in one question; SQLite takes no more than 999 on old systems
_LARGEST = 1 << 29  # bytes; what grows beyond is begun anew


class Table:
    """Lines of text by store, run and name.

    Args:
        file: where; it and its folder are created by the first line.
        name: of the table.
    """

    def __init__(self, file: Path, name: str = "known") -> None:
        self._file, self._name = file, name
        self._patience = _WAIT

    def of_run(self, store: str, run: str, names: Collection[str] | None = None) -> dict[str, str]:
        """Return the lines of a run by name: those of these names, or all of them."""
        where = (os.fsencode(store), os.fsencode(run))
        some = [] if names is None or len(names) > _AT_ONCE else [os.fsencode(name) for name in names]
        sql = f"SELECT name, text, digest FROM {self._name} WHERE store = ? AND run = ?"
        if some:
            sql += f" AND name IN ({', '.join('?' * len(some))})"
        found = self._read(lambda base: _believed(where, base.execute(sql, (*where, *some))))
        return found if names is None else {name: text for name, text in found.items() if name in names}

    def of_store(self, store: str, name: str) -> dict[str, str]:
        """Return the lines that have the same name in all runs, by run."""
        sql = f"SELECT run, text, digest FROM {self._name} WHERE store = ? AND name = ?"
        where = (os.fsencode(store), os.fsencode(name))

        def ask(base: sqlite3.Connection) -> dict[str, str]:
            rows = base.execute(sql, where)
            return {
                os.fsdecode(run): text for run, text, digest in rows if _digest(where[0], run, where[1], text) == digest
            }

        return self._read(ask)

    def put(self, store: str, lines: Iterable[Line]) -> bool:
        """Add lines, in place of those with the same names; returns whether it could be done."""
        rows = [(os.fsencode(store), os.fsencode(run), os.fsencode(name), text) for run, name, text in lines]
        full = [(*row, _digest(*row)) for row in rows]
        return self._write(f"INSERT OR REPLACE INTO {self._name} VALUES (?, ?, ?, ?, ?)", full)

    def drop(self, store: str, run: str, names: Iterable[str]) -> bool:
        """Remove lines; returns whether it could be done."""
        rows = [(os.fsencode(store), os.fsencode(run), os.fsencode(name)) for name in names]
        return self._write(f"DELETE FROM {self._name} WHERE store = ? AND run = ? AND name = ?", rows)

    def _read(self, ask: Callable[[sqlite3.Connection], dict[str, str]]) -> dict[str, str]:
        try:
            if not self._ours():
                return {}
            with self._open() as base:
                return ask(base)
        except (sqlite3.Error, OSError) as error:
            self._lose_patience(error)
            return {}

    def _write(self, sql: str, rows: Sequence[tuple[bytes | str, ...]]) -> bool:
        for again in (True, False):
            try:
                if not self._created():
                    return False
                with self._open() as base:
                    base.execute("BEGIN IMMEDIATE")
                    base.execute(_CREATE.format(self._name))
                    base.executemany(sql, rows)
                    base.execute("COMMIT")
                return True
            except (sqlite3.OperationalError, OSError) as error:  # locked, full, read-only
                self._lose_patience(error)
                return False
            except sqlite3.Error:  # no database, or a damaged one: it is begun anew
                if not again or not self._removed():
                    return False
        return False

    def _lose_patience(self, error: Exception) -> None:
        """Wait only once for whoever keeps the file locked, not again for each line."""
        if isinstance(error, sqlite3.Error) and error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            self._patience = 0.0

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._file, timeout=self._patience, isolation_level=None)) as base:
            base.execute("PRAGMA synchronous = OFF")
            yield base

    def _ours(self) -> bool:
        """Whether the file is there, this user's, and nobody else's to write: another could say what is to be kept."""
        try:
            found = os.lstat(self._file)
        except FileNotFoundError:
            return False
        return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022

    def _created(self) -> bool:
        if os.path.lexists(self._file):
            if not self._ours():
                return False
            if self._file.stat().st_size <= _LARGEST or not self._removed():
                return True
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        return self._ours()

    def _removed(self) -> bool:
        try:
            self._file.unlink(missing_ok=True)
            self._file.with_name(f"{self._file.name}-journal").unlink(missing_ok=True)
        except OSError:
            return False
        return True


def _believed(where: tuple[bytes, bytes], rows: Iterable[tuple[bytes, str, str]]) -> dict[str, str]:
    return {os.fsdecode(name): text for name, text, digest in rows if _digest(*where, name, text) == digest}


def _digest(store: bytes, run: bytes, name: bytes, text: str) -> str:
    parts = (store, run, name, text.encode())
    return digest_bytes(b"".join(b"%d:%b" % (len(part), part) for part in parts))
