"""A folder of this machine that stands in for a trainer's on a service: its names, sizes and times, and few bytes.

What trainers are known by is mostly names, so these are there for all files, as files of the right size with nothing in
them. Bytes are there for one checkpoint at a time, while it is judged and digested, and for the small files around it.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ckptkit.errors import NotFoundError
from ckptkit.formats.escaped import escaped
from ckptkit.layouts import ADOPTED
from ckptkit.layouts.adopted import adopted_name
from ckptkit.layouts.own_names import SIDECAR_SUFFIX
from ckptkit.manifest.names import unsafe_reason
from ckptkit.storage import Entry, FileStat, Storage
from ckptkit.storage.remote import SupportsWalk
from ckptkit.trainers.finding import Sighting

_SMALL = 1 << 20  # bytes
_MANY = 100  # small files of one folder: more are data
_SETTINGS = frozenset(("", ".json", ".yaml", ".yml", ".npz"))
"""Suffixes of what trainers keep beside their checkpoints: settings, pointers, states, evaluations."""
_BELOW = frozenset(("args.yml", "config.yml", "evaluations.npz"))
"""And in folders beside them."""
_GLIMPSE = 16 << 20  # bytes that tell what a file is, of most formats
_ZIP = b"PK\x03\x04"  # its directory is at its end


@dataclass(slots=True, eq=False)
class StandIn:
    """What stands in for a run of a store on a service, and the runs in it.

    Attributes:
        storage: the store.
        top: stands for the store's own folder.
        odd: names that no file can have here; such a file is not looked at.
    """

    storage: Storage
    top: Path
    odd: list[str] = field(default_factory=list)
    _whole: set[Path] = field(default_factory=set)

    def show(self, run: str, *, deep: bool = True) -> None:
        """Give it the names of a run and of the runs in it, or only those right in it."""
        assert isinstance(self.storage, SupportsWalk)
        around = self.top if run == "." else self.top / run
        around.mkdir(parents=True, exist_ok=True)
        for one in self.storage.walk(run, deep=deep):
            try:
                _require_name(one.path.rstrip("/"))
                if not one.regular:
                    (around / one.path).mkdir(exist_ok=True)
                    continue
                (around / one.path).parent.mkdir(parents=True, exist_ok=True)
                _blank(around / one.path, one)
            except (OSError, ValueError):
                self.odd.append(one.path)

    @contextmanager
    def filled(self, sighting: Sighting) -> Iterator[None]:
        """While it runs, a checkpoint has its bytes, and the small files around it have theirs.

        Raises:
            DiskFullError: there is no room for it.
            NotFoundError: its trainer has removed it.
        """
        folder = sighting.seen.folder
        for around in (folder, folder.parent, *(folder / name for name in sighting.seen.listing.folders)):
            if around.is_relative_to(self.top) and around not in self._whole:
                self._whole.add(around)
                self._bring_small(around, below=around.parent == folder)
        files = [path for name in sighting.seen.found.files for path in _files(folder / name)]
        with self._brought(folder, [path for path in files if path not in self._whole]):
            yield

    @contextmanager
    def glimpsed(self, sighting: Sighting) -> Iterator[None]:
        """While it runs, a checkpoint has bytes enough to tell its format by: of a large file its start."""
        folder, whole = sighting.seen.folder, []
        with ExitStack() as held:
            for path in (path for name in sighting.seen.found.files for path in _files(folder / name)):
                told = path.stat()
                at, within = self._entry(folder), path.relative_to(folder).as_posix()
                start = b"" if told.st_size <= _GLIMPSE else self.storage.read(at, within, _GLIMPSE - 1)
                if not start or start.startswith(_ZIP):
                    whole.append(path)
                    continue
                with path.open("r+b") as copy:
                    copy.write(start)
                held.callback(_blank, path, FileStat("", told.st_size, True, (0, told.st_mtime_ns, 0, 0)))
            held.enter_context(self._brought(folder, whole))
            yield

    def _bring_small(self, folder: Path, *, below: bool) -> None:
        """Bring, for as long as this lives, what a trainer's own marks and settings may be."""
        named = [path for path in folder.iterdir() if (path.name in _BELOW if below else path.suffix in _SETTINGS)]
        small = [path for path in named if path.is_file() and 0 < path.stat().st_size <= _SMALL and not _is_ours(path)]
        small.sort(key=lambda path: (any(map(str.isdigit, path.name)), path.name))
        with self._copies(folder, small[:_MANY]) as copies:
            for path, copy in copies:
                _move(copy, path)
                self._whole.add(path)

    @contextmanager
    def _brought(self, folder: Path, files: Iterable[Path]) -> Iterator[None]:
        wanted = list(files)
        before = {path: path.stat() for path in wanted}
        try:
            with self._copies(folder, wanted) as copies:  # as long as it is open, they count as scratch space
                for path, copy in copies:
                    _move(copy, path)
                yield
        finally:
            for path, told in before.items():
                _blank(path, FileStat("", told.st_size, True, (0, told.st_mtime_ns, 0, 0)))

    @contextmanager
    def _copies(self, folder: Path, files: list[Path]) -> Iterator[list[tuple[Path, Path]]]:
        """Yield each file with its copy, which has the size that was listed."""
        names = {path.relative_to(folder).as_posix(): path for path in files}
        if not names:
            yield []
            return
        with self.storage.fetch(self._entry(folder), list(names)) as copies:
            found = [(path, copies / name) for name, path in names.items()]
            for path, copy in found:
                if not copy.is_file() or copy.stat().st_size != path.stat().st_size:
                    told = f"{escaped(path.name)}: is gone, or was written again, since it was listed"
                    raise NotFoundError(told, hint="adopt it again when its trainer has finished it")
            yield found

    def _entry(self, folder: Path) -> Entry:
        """Return an entry of the run that a folder stands for: by its layout, paths count from the run."""
        run = folder.relative_to(self.top).as_posix()
        return Entry(run, adopted_name("any", 0), ADOPTED, self.storage)


def _require_name(path: str) -> None:
    if reason := unsafe_reason(path):
        raise ValueError(reason)


def _is_ours(path: Path) -> bool:
    return path.name.endswith(SIDECAR_SUFFIX)


def _files(path: Path) -> Iterator[Path]:
    """Yield a file, or all files in a folder."""
    if not path.is_dir():
        yield path
        return
    yield from (Path(around, name) for around, _, names in os.walk(path) for name in names)


def _blank(path: Path, told: FileStat) -> None:
    """Make a file of that size and time that holds nothing, and takes no room."""
    with path.open("wb") as stream:
        stream.truncate(told.size)
    os.utime(path, ns=(told.stamp[1], told.stamp[1]))


def _move(copy: Path, path: Path) -> None:
    time = path.stat().st_mtime_ns
    os.replace(copy, path)
    os.utime(path, ns=(time, time))
