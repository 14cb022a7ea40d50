"""Files that a caller wrote, and what it says is to be in some: copied and written one by one, or read into memory."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from io import BufferedIOBase
from pathlib import Path

from ckptkit.backend import SnapshotContext
from ckptkit_files.written import Content, Create

_BLOCK = 1 << 20  # bytes: each is digested while it is in the processor's cache


class OneByOne:
    """See ``ckptkit_files.Contents``.

    Args:
        files: as of ``Written``.
    """

    def __init__(self, files: Mapping[str, Path | Content]) -> None:
        self.names: Sequence[str] = list(files)
        self._files = files

    def write(self, directory: Path, create: Create) -> None:
        """Copy the files; raises OSError if one cannot be read."""
        for name, source in self._files.items():
            with _created(directory / name, create) as target:
                if isinstance(source, Path):
                    with source.open("rb") as stream:
                        shutil.copyfileobj(stream, target, _BLOCK)
                else:
                    source.write(target)

    def apart(self, context: SnapshotContext) -> Callable[[Path, Create], None]:
        """Read the files: whoever wrote them may write over them, or take them away. Raises OSError."""
        writers = {name: _apart(source, context) for name, source in self._files.items()}

        def write(directory: Path, create: Create) -> None:
            for name, written in writers.items():
                with _created(directory / name, create) as target:
                    written(target)

        return write


def read_into_memory(path: Path, context: SnapshotContext) -> memoryview:
    """Return what a file holds, in the memory of a save; raises OSError."""
    with path.open("rb", buffering=0) as stream:
        size = os.fstat(stream.fileno()).st_size
        content, done = context.memory(size), 0
        while done < size and (count := stream.readinto(content[done:])):
            done += count
    return content[:done]


def _apart(source: Path | Content, context: SnapshotContext) -> Callable[[BufferedIOBase], object]:
    if not isinstance(source, Path):
        return source.apart(context)
    content = read_into_memory(source, context)
    return lambda target: target.write(content)


def _created(path: Path, create: Create) -> BufferedIOBase:
    path.parent.mkdir(parents=True, exist_ok=True)
    return create(path)
