"""What lies in the folders of runs, is named like a checkpoint, and has no manifest: a trainer may have written it.

Only names are looked at here. What something is, its content tells.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ckptkit.durable import storage_errors
from ckptkit.manifest.names import MANIFEST_NAME, MAX_RUN_PARTS, SIDECAR_SUFFIX, STEP_FOLDER, check_run, is_run

_FOLDER = re.compile(r"(?:[A-Za-z_-]*(?:checkpoint|ckpt|step|epoch|iter|iteration)[-_=]?)?\d+", re.IGNORECASE)
_FILE = re.compile(r"(?<!\d)\d+(?:_steps)?$")
_PART = re.compile(r"-\d+-of-\d+$")


def unlisted(root: Path, run: str | None = None) -> Iterator[tuple[str, Path]]:
    """Yield run and path of files and folders that end in a number, as checkpoints do, and that no manifest is beside.

    Args:
        root: of the store.
        run: only this one; of the whole store, the folders in folders that are no checkpoints are looked into as well.
    """
    folder = root if run is None or check_run(run) == "." else root / run
    if folder.is_dir():
        with storage_errors(str(folder)):
            yield from _in(folder, run or ".", 0 if run is None else MAX_RUN_PARTS)


def _in(folder: Path, run: str, depth: int) -> Iterator[tuple[str, Path]]:
    deeper: list[str] = []
    with os.scandir(folder) as entries:
        there = {entry.name: entry for entry in entries if not entry.is_symlink()}
    for name in sorted(there):
        if name.startswith(".") or name.endswith(SIDECAR_SUFFIX):
            continue
        if not there[name].is_dir():
            stem = name.rpartition(".")[0] or name
            part = _PART.search(stem) or _PART.search(name)  # of what an index beside it holds together
            if _FILE.search(stem) and not part and f"{stem}{SIDECAR_SUFFIX}" not in there:
                yield run, folder / name
        elif not STEP_FOLDER.fullmatch(name) and not os.path.lexists(folder / name / MANIFEST_NAME):
            if _FOLDER.fullmatch(name):
                yield run, folder / name
            else:
                deeper.append(name)
    for name in deeper if depth < MAX_RUN_PARTS else ():
        inner = name if run == "." else f"{run}/{name}"
        if is_run(inner):
            yield from _in(folder / name, inner, depth + 1)
