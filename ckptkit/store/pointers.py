"""What trainers point at: a link ``last``, TensorFlow's ``checkpoint``, DeepSpeed's ``latest``, the best of a Trainer.

Whatever they name must be there when the trainer looks for it. Nothing behind a link is read.
"""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ckptkit.digest import open_regular
from ckptkit.errors import CkptkitError
from ckptkit.formats.escaped import escaped
from ckptkit.layouts import ADOPTED, deepspeed, hf_trainer, tf_train
from ckptkit.layouts.adopted import main_of
from ckptkit.storage import Entry
from ckptkit.storage.remote import SupportsWalk

_LIMIT = 1 << 16
_TF = re.compile(rb'^model_checkpoint_path:\s*("(?:[^"\\\n]|\\.)*")', re.MULTILINE)
_HF = re.compile(rb'"best_model_checkpoint":\s*("(?:[^"\\\n]|\\.)*")')
"""The Trainer sorts the keys of its state: this one comes before the long history."""


@dataclass(frozen=True, slots=True)
class Pointed:
    """What the pointers among checkpoints name.

    Attributes:
        at: why each must stay, one line each.
        best: the checkpoints that another one names as its best.
        odd: pointers that lead nowhere, one line each.
    """

    at: Mapping[Entry, list[str]] = field(default_factory=dict)
    best: Mapping[Entry, list[Entry]] = field(default_factory=dict)
    odd: tuple[str, ...] = ()


def look(places: Iterable[Entry]) -> Pointed:
    """Return what pointers beside adopted checkpoints, and in their files, name."""
    folders: dict[tuple[str, Path | None], dict[str, list[Entry]]] = {}
    tops: dict[str, Path] = {}
    for at in places:
        if at.layout is not ADOPTED:
            continue
        folder = _folder(at)
        if folder is not None:
            tops[at.run] = _top(at)
        if folder is not None or isinstance(at.storage, SupportsWalk):
            folders.setdefault((at.run, folder), {}).setdefault(main_of(at.name) or "", []).append(at)
    named: dict[Entry, list[str]] = {}
    best: dict[Entry, list[Entry]] = {}
    odd: list[str] = []
    for (run, folder), mains in folders.items():
        found = _on_service(mains) if folder is None else (*beside(folder), *above(folder, tops[run]))
        for pointer, name in found:
            if name is None:
                odd.append(f"{run}: {escaped(pointer)} points nowhere: it is not followed")
            for at in _meant(mains, name):
                named.setdefault(at, []).append(f"{escaped(pointer)} points at it")
        for at in (one for several in mains.values() for one in several):
            best[at] = [other for other in _meant(mains, _best_of(at)) if other != at]
    return Pointed(named, {at: others for at, others in best.items() if others}, tuple(odd))


def beside(folder: Path) -> Iterator[tuple[str, str | None]]:
    """Yield each pointer right in a folder, and the name in it that it leads to; None where it leads nowhere."""
    links = _links(folder)
    for pointer in sorted(links):
        if name := _within(folder, folder / pointer):
            yield pointer, name
        elif not os.path.exists(folder / pointer):
            yield pointer, None
    for pointer, named in (*_FILES.items(),):
        if pointer not in links and (name := named(_start(folder / pointer))):
            yield pointer, name


def above(folder: Path, top: Path) -> Iterator[tuple[str, str]]:
    """Yield each link in the folders around one, up to a top, that leads into it: its path, and the name in it."""
    highest = os.path.abspath(top)  # a relative path ends at ".", which is its own parent
    for around in Path(os.path.abspath(folder)).parents:
        if not around.is_relative_to(highest):
            return
        for pointer in sorted(_links(around)):
            if name := _within(folder, around / pointer):
                yield os.path.relpath(around / pointer, folder), name


def _on_service(mains: Mapping[str, list[Entry]]) -> Iterator[tuple[str, str | None]]:
    """Yield each pointer beside the checkpoints of a run on a service, which knows no links, and what it names."""
    at = next(iter(mains.values()))[0]
    for pointer, named in _FILES.items():
        with contextlib.suppress(CkptkitError, OSError):
            if name := named(at.storage.read(at, pointer, _LIMIT)):
                yield pointer, name


def _links(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_symlink()]
    except OSError:
        return []


def _within(folder: Path, pointer: Path) -> str | None:
    """Return the name right in the folder that a link leads to or below, however it spells the way there."""
    target, around = Path(os.path.realpath(pointer)), Path(os.path.realpath(folder))
    if target == around or not target.is_relative_to(around):
        return None
    name = target.relative_to(around).parts[0]
    there = around / name
    return name if os.path.lexists(there) and not there.is_symlink() else None  # else gone, or in a circle


def _top(at: Entry) -> Path:
    """Return the highest folder in which pointers are looked for: the store's, or the one around a trainer's own."""
    run = at.storage.run_folder(at.run)
    folder = at.folder
    if folder != run:
        return folder.parent
    return run if at.run == "." else run.parents[at.run.count("/")]


def _meant(mains: Mapping[str, list[Entry]], name: str | None) -> list[Entry]:
    """Return the checkpoints of a name; TensorFlow's is that of several files, without what tells them apart."""
    return [] if name is None else [*mains.get(name, ()), *mains.get(f"{name}.index", ())]


def _folder(at: Entry) -> Path | None:
    try:
        return at.folder
    except CkptkitError:  # no file system, or another store's
        return None


def _best_of(at: Entry) -> str | None:
    try:
        data = at.storage.read(at, f"{main_of(at.name)}/{hf_trainer.STATE}", _LIMIT)
    except (CkptkitError, OSError):
        return None
    return _quoted(_HF, data)


def _start(path: Path) -> bytes:
    try:
        with open(open_regular(path), "rb") as stream:
            return stream.read(_LIMIT)
    except (CkptkitError, OSError):
        return b""


def _quoted(form: re.Pattern[bytes], data: bytes) -> str | None:
    match = form.search(data)
    try:
        return os.path.basename(json.loads(match[1])) if match else None
    except ValueError:
        return None


def _tag(data: bytes) -> str | None:
    return data.decode(errors="replace").strip() or None


_FILES: Mapping[str, Callable[[bytes], str | None]] = {
    tf_train.POINTER: lambda data: _quoted(_TF, data),
    deepspeed.POINTER: _tag,
}
