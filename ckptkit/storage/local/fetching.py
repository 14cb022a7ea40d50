"""Folders in which files that are stored in parts lie whole, for readers that want paths."""

import contextlib
import os
import shutil
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ckptkit.durable import storage_errors
from ckptkit.errors import StoreError
from ckptkit.storage import scratch_folders
from ckptkit.storage.local import assembling, staging


@contextmanager
def fetched(owner: object, folder: Path, paths: Sequence[str], state_folder: Path, *, keep: bool) -> Iterator[Path]:
    """Yield the checkpoint's own folder, or a copy of the files where one of them is stored in parts.

    Args:
        owner: with ``keep``, the copy stays as long as this object, or the process.
        folder: the checkpoint's.
        paths: of the files.
        state_folder: of the run: the copy is made there, on the same file system; where nothing can be written, in
            the folder for temporary files.
        keep: see ``owner``.
    """
    if all(os.path.lexists(folder / path) for path in paths):
        yield folder
        return
    with contextlib.ExitStack() as held:
        copy = _place(held, state_folder)
        for path in paths:
            with contextlib.suppress(FileNotFoundError), storage_errors(path):
                (copy / path).parent.mkdir(parents=True, exist_ok=True)
                if os.path.lexists(folder / path):
                    shutil.copyfile(folder / path, copy / path, follow_symlinks=False)
                else:
                    assembling.write(folder, path, copy / path)
        if keep:
            weakref.finalize(owner, held.pop_all().close)
        yield copy


def _place(held: contextlib.ExitStack, state_folder: Path) -> Path:
    try:
        return held.enter_context(staging.staged(state_folder))
    except StoreError:  # read-only, or not ours
        return held.enter_context(scratch_folders.fresh())
