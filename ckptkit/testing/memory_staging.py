"""A checkpoint that is being built in a folder for temporary files, and is read into memory when it is sealed."""

from collections.abc import Callable, Mapping
from pathlib import Path

from ckptkit.errors import StoreError
from ckptkit.manifest.names import MANIFEST_NAME
from ckptkit.storage.interface import Entry
from ckptkit.testing.tree import files_in

Commit = Callable[[Mapping[str, bytes], str, Entry | None], Entry]
"""Takes files by path, the checkpoint's name, and what it replaces."""


class MemoryStaging:
    """See ``ckptkit.storage.interface.Staging``.

    Args:
        folder: where backends write; removed by whoever made it.
        commit: makes files a checkpoint, all of them in one step.
    """

    def __init__(self, folder: Path, commit: Commit) -> None:
        self.folder = folder
        self._commit = commit
        self._sealed: Mapping[str, bytes] | None = None

    def seal(self, manifest: bytes) -> None:
        """See ``Staging.seal``."""
        files = {path: (self.folder / path).read_bytes() for path in files_in(self.folder)}
        self._sealed = {**files, MANIFEST_NAME: manifest}

    def commit(self, name: str, *, replaces: Entry | None = None) -> Entry:
        """See ``Staging.commit``."""
        if self._sealed is None:
            raise StoreError(f"{name}: has no manifest yet")
        return self._commit(self._sealed, name, replaces)
