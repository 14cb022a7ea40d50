"""What the author of a store fills in, and what the laws use to build checkpoints and to look at them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest

from ckptkit.digest import DEFAULT_ALGORITHM, digest_bytes
from ckptkit.layouts import SIDECAR, STEP_FOLDER
from ckptkit.manifest.names import MANIFEST_NAME, step_of_name
from ckptkit.manifest.reading import sealed
from ckptkit.storage.interface import Entry, Storage
from ckptkit.testing.skips import Skips

T = TypeVar("T")
RUN = "ppo/run1"
FILES: Mapping[str, bytes] = {
    "policy/model.bin": bytes(range(256)) * 64,
    "policy/deep/er/part 2 ✓.bin": b"\0",
    "rng/rng.json": b'{"state": 1}',
    "rng/empty": b"",
}
"""What a checkpoint of the laws holds: several folders, a name beyond ASCII, an empty file."""


class StorageHooks(Skips):
    """The hooks: ``make_storage`` is required.

    Attributes:
        patience: seconds after which a thread counts as waiting.
        limit_seconds: seconds after which a thread that may go on counts as stuck.
    """

    patience: ClassVar[float] = 0.2
    limit_seconds: ClassVar[float] = 30.0

    def make_storage(self, tmp_path: Path) -> Storage:
        """Return a new store that exists and is empty; each folder that it is called with gives another store."""
        raise NotImplementedError(f"{type(self).__name__} must define make_storage()")

    def stranger_writes(self, storage: Storage, path: str, data: bytes) -> None:
        """Write a file as others do, past the store: over what is there, and without a word to anybody.

        Args:
            storage: of ``make_storage``.
            path: from the root of the store, with the run's name before the file's.
            data: its content.
        """
        pytest.skip("stranger_writes() is not given: nobody writes there but the store")

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        """A new store."""
        return self.make_storage(tmp_path / "store")

    def commit(
        self,
        storage: Storage,
        name: str = "step-00000005",
        *,
        run: str = RUN,
        files: Mapping[str, bytes] = FILES,
        replaces: Entry | None = None,
    ) -> Entry:
        """Stage, seal and commit a checkpoint."""
        with storage.stage(run) as staging:
            write_into(staging.folder, files)
            staging.seal(manifest(run, name, files))
            return staging.commit(name, replaces=replaces)

    def sidecar(self, storage: Storage, name: str, files: Mapping[str, bytes], *, run: str = RUN) -> Entry:
        """Make a checkpoint of flat files that a trainer wrote into the run's folder."""
        for path, data in files.items():
            self.stranger_writes(storage, f"{run}/{path}", data)
        at = Entry(run, name, SIDECAR, storage)
        storage.put(at, at.manifest_file, manifest(run, name, files), replace=False)
        return at


def write_into(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files as a backend does."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def manifest(run: str, name: str, files: Mapping[str, bytes]) -> bytes:
    """Return a manifest that is valid, and another one for other files."""
    listed = [{"path": p, "size": len(d), "digest": digest_bytes(d, DEFAULT_ALGORITHM)} for p, d in files.items()]
    item = {"backend": "files", "format_version": 1, "captured": {"grade": "complete"}, "files": listed}
    fields = {
        "schema_version": "1.2",
        "run": run,
        "step": step_of_name(name) or 0,
        "sequence": 1,
        "created_at": "2026-01-01T00:00:00.000000Z",
        "environment": {"python": "3", "platform": "any", "packages": {}, "threads": 1},
        "items": {"all": item},
    }
    return sealed(fields, DEFAULT_ALGORITHM)[1]


def content(entry: Entry) -> dict[str, bytes]:
    """Return all files of an entry that has a folder of its own, read through the store."""
    found = {}
    for path in entry.storage.names(entry):
        with entry.storage.open(entry, path) as stream:
            found[path] = stream.read()
    return found


def expected(entry: Entry, files: Mapping[str, bytes] = FILES) -> dict[str, bytes]:
    """Return what a committed entry must hold."""
    return {**files, MANIFEST_NAME: manifest(entry.run, entry.name, files)}


def whole(entry: Entry, files: Mapping[str, bytes] = FILES) -> None:
    """Fail unless an entry holds exactly what was committed."""
    found, wanted = content(entry), expected(entry, files)
    assert found.keys() == wanted.keys(), f"{entry.ref} holds {sorted(found)}, not {sorted(wanted)}"
    for path in wanted:
        assert found[path] == wanted[path], f"{entry.ref}: {path} is not what was committed"


def only(found: Iterable[T], what: str) -> T:
    """Return the one thing that is there; fail if there are none or more."""
    there = list(found)
    assert len(there) == 1, f"{what}: there are {len(there)}, not one"
    return there[0]


def one_line(text: str) -> bool:
    """Return whether a person can be shown a text as one line."""
    return bool(text) and "\n" not in text


def listed(storage: Storage, run: str | None = None) -> list[str]:
    """Return the references that a scan gives."""
    return [entry.ref for entry in storage.scan(run)]


def folder_entry(storage: Storage, name: str, run: str = RUN) -> Entry:
    """Return the place of a checkpoint, there or not."""
    return Entry(run, name, STEP_FOLDER, storage)
