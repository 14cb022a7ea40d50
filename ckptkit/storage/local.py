"""Find and read the checkpoints below a local folder."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from ckptkit.digest import open_regular
from ckptkit.errors import DamagedError, ManifestError, RefusedError, StoreError
from ckptkit.manifest.limits import MAX_BYTES
from ckptkit.manifest.names import (
    MANIFEST_NAME,
    MAX_RUN_PARTS,
    SIDECAR_SUFFIX,
    STATE_FOLDER,
    STEP_FOLDER,
    check_run,
    step_of_name,
)
from ckptkit.storage.durable import require_descriptors, storage_errors
from ckptkit.storage.location import Location

_HINT = "choose another run name; nothing was changed"


class LocalStorage:
    """A folder that holds runs, which hold checkpoints. Symbolic links below it are never followed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def require(self) -> None:
        """Raise StoreError unless the folder exists and can be read."""
        require_descriptors()
        try:
            os.scandir(self.root).close()
        except NotADirectoryError as error:
            raise StoreError(f"store {self.root}: is a file, not a folder") from error
        except FileNotFoundError as error:
            raise StoreError(
                f"store {self.root}: does not exist",
                hint="name it with --store or CKPTKIT_STORE; `ckptkit save` creates it",
            ) from error
        except OSError as error:
            raise StoreError(f"store {self.root}: cannot be read ({error.strerror})") from error

    def require_reachable(self, run: str) -> None:
        """Raise RefusedError if what is saved in the run would never be listed: behind a link, or in a checkpoint."""
        require_descriptors()
        path = self.root
        with storage_errors(str(self.root)):
            for part in () if check_run(run) == "." else run.split("/"):
                path = path / part
                if path.is_symlink():
                    raise RefusedError(f"{path}: is a symbolic link, which is never followed", hint=_HINT)
                if os.path.lexists(path / MANIFEST_NAME):
                    raise RefusedError(f"{path}: is a checkpoint, no run can be inside it", hint=_HINT)

    def run_folder(self, run: str) -> Path:
        """Return the folder of a run; raises RunNameError for an unsafe name."""
        return self.root if check_run(run) == "." else self.root / run

    def state_folder(self, run: str) -> Path:
        """Return the folder of everything else that belongs to a run."""
        return self.run_folder(run) / STATE_FOLDER

    def scan(self, run: str | None = None, *, skip_unreadable: bool = False) -> Iterator[Location]:
        """Yield all checkpoints of a run, or of the whole store, ordered by run and step; manifests are not read.

        Args:
            run: only this one.
            skip_unreadable: for the whole store, leave out folders that may not be read instead of raising StoreError.
        """
        self.require()
        if run is None:
            yield from self._walk(self.root, ".", 0, skip_unreadable)
            return
        folder = self.run_folder(run)
        with storage_errors(str(folder)):
            readable = folder.is_dir() and not self._crosses_link(run)
        if readable:
            yield from self._here(folder, run)[0]

    def _crosses_link(self, run: str) -> bool:
        path = self.root
        for part in () if run == "." else run.split("/"):
            path = path / part
            if path.is_symlink():
                return True
        return False

    def _walk(self, folder: Path, run: str, depth: int, skip_unreadable: bool) -> Iterator[Location]:
        try:
            found, deeper = self._here(folder, run)
        except StoreError:
            if skip_unreadable:
                return
            raise
        yield from found
        if depth < MAX_RUN_PARTS:
            for name in deeper:
                inner = name if run == "." else f"{run}/{name}"
                yield from self._walk(folder / name, inner, depth + 1, skip_unreadable)

    def _here(self, folder: Path, run: str) -> tuple[list[Location], list[str]]:
        """Return the checkpoints right in a folder, and the names of its folders that are not checkpoints."""
        found: list[Location] = []
        deeper: list[str] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = entry.name
                    if name.endswith(SIDECAR_SUFFIX) and name != SIDECAR_SUFFIX and not entry.is_dir():
                        found.append(Location(run, folder, folder / name))
                    elif name != STATE_FOLDER and entry.is_dir(follow_symlinks=False):
                        path = folder / name
                        manifest = path / MANIFEST_NAME
                        if STEP_FOLDER.fullmatch(name) or os.path.lexists(manifest):
                            found.append(Location(run, path, manifest))
                        elif not name.startswith("."):
                            deeper.append(name)
        except OSError as error:
            raise StoreError(f"{folder}: cannot be read ({error.strerror})") from error
        found.sort(key=lambda at: (-1 if at.step is None else at.step, at.name))
        return found, sorted(deeper)

    def at_step(self, run: str, step: int) -> list[Location]:
        """Return what claims to be this step of the run, complete or not."""
        if not self.run_folder(run).is_dir():
            return []
        return [at for at in self.scan(run) if step_of_name(at.name) == step]

    @staticmethod
    def read_manifest(at: Location) -> bytes:
        """Return the bytes of a manifest file.

        Raises:
            ManifestError: it is missing, not a regular file, or absurdly large.
            StoreError: it cannot be read.
        """
        try:
            descriptor = open_regular(at.manifest)
        except FileNotFoundError as error:
            raise ManifestError(
                "has no manifest: the checkpoint is incomplete",
                hint="it is never resumed from and fills no slot; remove the folder when nothing writes to it",
            ) from error
        except DamagedError as error:
            raise ManifestError("manifest is not a regular file") from error
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise ManifestError("manifest is not a regular file") from error
            raise StoreError(f"{at.manifest}: cannot be read ({error.strerror})") from error
        try:
            size = os.fstat(descriptor).st_size
            if size > MAX_BYTES:
                raise ManifestError(f"manifest is {size} bytes long, at most {MAX_BYTES} are read")
            return os.read(descriptor, size + 1)
        except OSError as error:
            raise StoreError(f"{at.manifest}: cannot be read ({error.strerror})") from error
        finally:
            os.close(descriptor)
