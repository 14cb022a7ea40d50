"""What the files of a checkpoint hold, as far as their headers say: the tensors of each, or why they cannot be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import SEEK_END
from pathlib import PurePosixPath

from ckptkit.errors import CkptkitError, DamagedError
from ckptkit.formats.sources import Source
from ckptkit.formats.tensor_bytes import Held
from ckptkit.formats.tensors import Tensor, opened, tensors_in
from ckptkit.manifest.models import FileEntry, Manifest
from ckptkit.storage import Entry

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Content:
    """One file of a checkpoint.

    Attributes:
        item: name of the item that it belongs to.
        file: what the manifest says of it.
        tensors: those that its header tells; none in most kinds of file.
        problem: why it could not be read, or None.
    """

    item: str
    file: FileEntry
    tensors: tuple[Tensor, ...] = ()
    problem: str | None = None


def contents(at: Entry, manifest: Manifest) -> Iterator[Content]:
    """Yield what each file of a checkpoint holds, item by item; what is wrong with one is told in its place."""
    for name, item in manifest.items.items():
        for file in item.files:
            try:
                yield Content(name, file, tensors_of(at, file))
            except DamagedError as error:
                yield Content(name, file, problem=error.message)


def tensors_of(at: Entry, file: FileEntry) -> tuple[Tensor, ...]:
    """Return the tensors of one file; raises DamagedError, without the file's name, where it cannot be read."""
    with _source(at, file.path) as source:
        try:
            return tuple(tensors_in(source))
        except OSError as error:
            raise DamagedError(f"cannot be read ({error.strerror})") from error
        except DamagedError as error:
            if source.length == file.size:
                raise
            raise DamagedError(f"has {source.length} bytes, its manifest says {file.size}: {error.message}") from error


@contextmanager
def held(at: Entry, path: str, tensor: Tensor) -> Iterator[Held]:
    """Yield a tensor that a file lists, to be read; raises DamagedError where its bytes cannot be had."""
    if tensor.place.shard:
        path = str(PurePosixPath(path).parent / tensor.place.shard)
    with _source(at, path) as source:
        yield Held(tensor, opened(source.stream, tensor.place))


def same_bytes(a: Entry, path_a: str, b: Entry, path_b: str) -> bool:
    """Return whether two files are equal, by reading both; not if one cannot be read."""
    try:
        with _source(a, path_a) as one, _source(b, path_b) as other:
            while block := one.stream.read(_BLOCK):
                if block != other.stream.read(_BLOCK):
                    return False
            return not other.stream.read(1)
    except (DamagedError, OSError):
        return False


@contextmanager
def _source(at: Entry, path: str) -> Iterator[Source]:
    try:
        stream = at.storage.open(at, path)
    except FileNotFoundError as error:
        raise DamagedError("is missing") from error
    except DamagedError as error:
        raise DamagedError("is not a regular file") from error
    except (CkptkitError, OSError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
        raise DamagedError(f"cannot be read ({getattr(cause, 'strerror', None) or error})") from error
    with stream:
        length = stream.seek(0, SEEK_END)
        stream.seek(0)
        yield Source(stream, length, PurePosixPath(path).name, path, stored=length)
