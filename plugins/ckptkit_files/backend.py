"""The ``files`` backend: copies files, and looks into those of a known format, whoever wrote them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ckptkit.backend import Captured, CheckContext, LoadContext, Problem, SaveContext, SavedItem, SnapshotContext
from ckptkit.errors import BackendError, DamagedError, UnsafeContentError
from ckptkit.formats import given_folder, sb3_callback
from ckptkit.formats.moments import moments
from ckptkit_files import check, trainers
from ckptkit_files.one_by_one import OneByOne
from ckptkit_files.written import Contents, Create, Written

_UNKNOWN = Captured("partial", ["files of any kind: what they hold, and how exactly it resumes, is not known"])


class FilesBackend:
    """Keeps files byte for byte. Never detected: people write ``NAME:files=PATH``, programs save a ``Written``."""

    name: ClassVar[str] = "files"
    format_version: ClassVar[int] = 1
    explicit_only: ClassVar[bool] = True

    def can_save(self, item: object, /) -> bool:
        """Return whether the item is a ``Written``."""
        return isinstance(item, Written)

    def save(self, item: Written, directory: Path, *, context: SaveContext) -> SavedItem:
        """Copy the files.

        Raises:
            BackendError: there are none.
            OSError: one cannot be read.
        """
        contents = _contents(item)
        contents.write(directory, context.create)
        return _said(item, contents)

    def snapshot(self, item: Written, /, *, context: SnapshotContext) -> "_Apart":
        """Read the files: whoever wrote them may write over them, or take them away.

        Raises:
            BackendError, OSError: see ``save``.
        """
        contents = _contents(item)
        return _Apart(contents.apart(context), _said(item, contents))

    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Path:
        """Return the item's folder once its files are checked: only whoever wrote them can put them into an object.

        Raises:
            BackendError: a target was given.
            DamagedError, UnsafeContentError: the files are not whole, or would run code when they are loaded.
        """
        if target is not None:
            kind = type(target).__qualname__
            raise BackendError(f"files of any kind cannot be put into a {kind}", hint="load the files yourself")
        for problem in self.check(directory, context=context):
            if problem.file in context.trusted:
                continue  # it is not loaded here
            text = f"{problem.file or directory.name}: {problem.message}"
            if problem.severity == "unsafe":
                raise UnsafeContentError(text)
            if problem.severity == "error":
                raise DamagedError(text)
        return directory

    def estimate_bytes(self, item: Written, /) -> int:
        """Return the bytes of the files that are there; how much the others will hold is not known."""
        sources = item.files.values() if isinstance(item.files, Mapping) else ()
        return sum(source.stat().st_size for source in sources if isinstance(source, Path) and source.is_file())

    def digests(self, item: Written, /) -> Mapping[str, str]:
        """Return the digests that the caller gave."""
        return item.digests

    def check(self, directory: Path, *, context: CheckContext) -> Iterable[Problem]:
        """Yield what is wrong with the files whose format is known: torch files, pickles, zips, arrays, JSON."""
        return check.check_files(directory, _names(directory, context))

    def recognise(self, path: Path, /) -> Mapping[str, Path] | None:
        """Return the file, or all files below the folder."""
        if path.is_file():
            return {path.name: path}
        return given_folder.look(path).files or None

    def describe(self, directory: Path, *, context: CheckContext) -> SavedItem:
        """Return the number of files, their step and, for a single file of a known trainer, which pieces it holds.

        Raises:
            InconsistentSetError: the name and the files are of different moments.
        """
        names = _names(directory, context)
        known = trainers.look(directory, names)
        if context.source is not None:
            sb3_callback.require_finished(context.source)
        at = moments(directory, names, context.source)
        if known is None:
            return SavedItem({"files": len(names)}, at.step, captured=_UNKNOWN.doubted(at.doubts))
        trainer, there = known
        captured = trainer.captured(there).doubted(at.doubts)
        return SavedItem({"files": len(names), "trainer": trainer.name}, at.step, captured=captured)


@dataclass(frozen=True, slots=True)
class _Apart:
    """What writes the files, and what is said of them."""

    files: Callable[[Path, Create], None]
    said: SavedItem

    def write(self, directory: Path, *, context: SaveContext) -> SavedItem:
        """See ``Pending.write``."""
        self.files(directory, context.create)
        return self.said


def _contents(item: Written) -> Contents:
    contents = OneByOne(item.files) if isinstance(item.files, Mapping) else item.files
    if not contents.names:
        raise BackendError("there are no files to keep")
    return contents


def _said(item: Written, contents: Contents) -> SavedItem:
    metadata = {"files": len(contents.names), **item.metadata}
    return SavedItem(metadata, item.step, dict(item.counters), item.captured, list(item.hazards))


def _names(directory: Path, context: CheckContext) -> Sequence[str]:
    return context.files or sorted(f.relative_to(directory).as_posix() for f in directory.rglob("*") if f.is_file())
