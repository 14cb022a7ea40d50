"""Runs of many small checkpoints, written fast, and how to tell whether listings of them are right."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ckptkit.manifest.names import is_run, step_folder
from ckptkit.manifest.reading import sealed
from ckptkit.store import Listed, StoreReader

RUN = "a/run"
MANY = 80  # more than are read as fast as an index
SETTLED = 2.1  # seconds: what changed since may change once more without another stamp
SINCE = datetime.fromisoformat("2026-01-01T00:01:00+00:00")


def write(root: Path, run: str, step: int, **fields: Any) -> Path:
    """Write one checkpoint with an item of one byte; nothing is flushed."""
    folder = root / run / step_folder(step)
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "model.txt").write_bytes(b"x")
    (folder / "manifest.json").write_bytes(manifest(run, step, **fields))
    return folder


def manifest(run: str, step: int, **fields: Any) -> bytes:
    """Return the bytes of a manifest; of two with the same length of fields, both have the same length."""
    file = {"path": "model/model.txt", "size": 1, "digest": "blake3:" + "0" * 64}
    item = {"backend": "files", "format_version": 1, "captured": {"grade": "complete"}, "files": [file]}
    said = {
        "schema_version": "1.1",
        "run": run,
        "step": step,
        "sequence": step,
        "created_at": f"2026-01-01T{step // 3600:02}:{step // 60 % 60:02}:{step % 60:02}.000000Z",
        "metrics": {"loss": 0.5},
        "environment": {"python": "3", "platform": "any", "packages": {}, "threads": 1},
        "items": {"model": item},
    }
    return sealed(said | fields, "blake3")[1]


def fill(root: Path, run: str = RUN, count: int = MANY) -> Path:
    """Write checkpoints of the steps 1 to ``count``."""
    for step in range(1, count + 1):
        write(root, run, step)
    return root


def replaced(file: Path, data: bytes) -> None:
    """Put other bytes of the same length into a file, and set its time of modification back."""
    found = file.stat()
    assert len(data) == found.st_size
    with open(file, "r+b") as stream:
        stream.write(data)
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))


WAYS: Sequence[dict[str, Any]] = (
    {},
    {"limit": 5},
    {"limit": 70},
    {"sort": "created", "limit": 70},
    {"sort": "size"},
    {"since": SINCE},
    {"tag": "good"},
)
"""Options of a listing that differ in what is looked at."""


def told(root: Path, *, index: bool) -> list[object]:
    """Return all that listings of a store tell, in every way, of all runs and of each; the ledger is read always."""
    store, ledger = StoreReader(root, cache=index), StoreReader(root).ledger
    runs = sorted({at.run for at in store.storage.scan() if is_run(at.run)})
    found: list[object] = []
    for run in (None, *runs, runs):
        for way in WAYS:
            listing = replace(store.list(run, **way), ledger=ledger)
            found.append((run, way, list(listing), listing.refs_problems))
        if not isinstance(run, list):
            found.append(list(store.unlisted(run)))
    return found


def steps(root: Path, run: str | None = None, *, limit: int | None = None) -> list[int | None]:
    """Return the steps that a listing with the index shows."""
    return [one.at.step for one in listed(root, run, limit=limit)]


def listed(root: Path, run: str | None = None, *, limit: int | None = None) -> list[Listed]:
    """Return what a listing with the index shows."""
    return list(StoreReader(root).list(run, limit=limit))


@contextmanager
def opened() -> Iterator[list[str]]:
    """Yield the names of files and folders that are opened or listed in the block."""
    names: list[str] = []
    active = True

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if active and event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], (str, bytes, Path)):
            names.append(os.fsdecode(arguments[0]))

    sys.addaudithook(watch)
    try:
        yield names
    finally:
        active = False
