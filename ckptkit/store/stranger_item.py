"""One item as its trainer wrote it: which files it is made of, and what a manifest says of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ckptkit import registry
from ckptkit.backend import Backend, CheckContext
from ckptkit.digest import digest_file
from ckptkit.errors import UnknownBackendError
from ckptkit.manifest.names import check_item_name
from ckptkit.store import item_entries, stranger, writing
from ckptkit.store.guests import guest

OnBytes = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Wrote:
    """One item of a checkpoint, as its trainer wrote it.

    Attributes:
        path: the item: a folder, a file, or the prefix of some, right in the folder that is adopted from.
        files: all names that belong to it, right in that folder; of a folder all that is in it. ``path`` alone when
            left out.
        backend: the backend that it is for; found by content when None, else ``files``.
        doubts: what whoever wrote it knows to be missing, one line for each piece.
    """

    path: str
    files: Sequence[str] = ()
    backend: str | None = None
    doubts: Sequence[str] = ()


def looked_at(around: Path, items: Mapping[str, Wrote]) -> dict[str, stranger.Look]:
    """Return the files of each item in a folder; raises as ``stranger.look``."""
    return {name: stranger.look(around, wrote.files or (wrote.path,)) for name, wrote in items.items()}


def require_whole(around: Path, items: Mapping[str, Wrote], step: int) -> None:
    """Raise what would keep ``adopt`` from taking it, as far as its content tells; nothing is written.

    Raises:
        CkptkitError: as of ``CheckpointStore.adopt``.
    """
    for name, seen in looked_at(around, items).items():
        entry(around, name, items[name], seen, step, None, {})


def entry(
    around: Path,
    name: str,
    wrote: Wrote,
    seen: stranger.Look,
    step: int,
    algorithm: str | None,
    digested: writing.Digested,
    on_bytes: OnBytes | None = None,
) -> dict[str, Any]:
    """Return the manifest's fields of an item; without an algorithm it is judged, and not digested."""
    check_item_name(name)
    path = around / wrote.path
    inside = path.is_dir() and all(file.startswith(f"{wrote.path}/") for file in seen)
    folder, prefix = (path, f"{wrote.path}/") if inside else (around, "")
    backend = _backend(path, name, wrote.backend)
    files: list[item_entries.FileFields] = []
    for file, stamp in seen.items():
        size, digest = stamp[0], ""
        if algorithm is not None:
            writing.note_before(around / file, digested)
            size, digest = digest_file(around / file, algorithm, on_bytes=on_bytes)
        files.append({"path": file, "size": size, "digest": digest})
    context = CheckContext([file.removeprefix(prefix) for file in seen], step=step, source=path)
    with guest(name, backend):
        described = item_entries.describe(name, backend, folder, context)
    described = replace(described, captured=described.captured.doubted(wrote.doubts))
    return {**item_entries.entry(name, backend, folder, described, files, step, prefix), "path": wrote.path}


def _backend(path: Path, name: str, wanted: str | None) -> Backend:
    try:
        return registry.for_path(path, name=name, backend=wanted)[0]
    except UnknownBackendError:
        if wanted is not None:
            raise
        return registry.get("files")  # its check tells what is damaged
