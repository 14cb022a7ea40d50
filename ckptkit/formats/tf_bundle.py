"""TensorFlow checkpoint bundles (``PREFIX.index`` and ``PREFIX.data-*``), read and checked without TensorFlow.

Every byte is accounted for: the index is read strictly, every tensor's CRC32C is computed as tensor_bundle.cc does,
gaps between tensors must be zero, and each data file must be exactly as long as its tensors need. What a hostile bundle
can cost is bounded by the size of its files: overlapping tensors are refused before a byte of them is read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.formats.opening import opened
from ckptkit.formats.protobuf import WireError, fields, signed
from ckptkit.formats.sources import Source
from ckptkit.formats.tf_shard import DT_STRING, DT_VARIANT, ELEMENT_BYTES, ShardError, Tensor, read_small, verify_shard
from ckptkit.formats.tf_table import MAGIC, MAX_FILE_BYTES, TableError, read_table
from ckptkit.problem import Problem

__all__ = ["DT_STRING", "DT_VARIANT", "Bundle", "BundleError", "Tensor"]

_INDEX = ".index"
_SHARD = re.compile(r"\.data-\d{5}-of-\d{5}")
_OWN_NAME = re.compile(r"(.*[.])?ckpt-\d+|.*\.ckpt([-_]\w+)?")
_POINTER = "checkpoint"
_POINTER_BYTES = 1 << 20
_MAX_SHARDS = 10_000
_INTEGERS = {3: 4, 9: 8}  # DT_INT32, DT_INT64


class BundleError(DamagedError):
    """A bundle that cannot be read; carries the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.file}: {problem.message}")
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Bundle:
    """The index of a bundle.

    Attributes:
        prefix: path without ``.index``.
        tensors: by key.
        shards: paths of the data files.
    """

    prefix: Path
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    shards: Sequence[Path] = ()

    @classmethod
    def open(cls, prefix: Path) -> "Bundle":
        """Read and check the index; the data files are not touched.

        Raises:
            BundleError: the index is missing, damaged, too large or beyond this reader.
        """
        path = prefix.with_name(f"{prefix.name}.index")
        try:
            if not path.is_file():
                raise BundleError(Problem("bundle-missing-index", "there is no such file", path.name))
            if path.stat().st_size > MAX_FILE_BYTES:
                raise BundleError(Problem("bundle-index-unsupported", f"more than {MAX_FILE_BYTES} bytes", path.name))
            tensors, count = _index(read_table(path.read_bytes()))
        except OSError as error:
            raise BundleError(Problem("bundle-unreadable", f"cannot be read ({error.strerror})", path.name)) from error
        except TableError as error:
            code = "bundle-index-unsupported" if error.unsupported else "bundle-index-damaged"
            raise BundleError(Problem(code, str(error), path.name)) from error
        except WireError as error:
            raise BundleError(Problem("bundle-index-damaged", str(error), path.name)) from error
        shards = [prefix.with_name(f"{prefix.name}.data-{i:05d}-of-{count:05d}") for i in range(count)]
        return cls(prefix, tensors, shards)

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the data files, reading every byte of them."""
        for number, path in enumerate(self.shards):
            tensors = sorted((t for t in self.tensors.values() if t.shard == number), key=lambda t: (t.offset, t.size))
            if not path.is_file():
                yield Problem("bundle-missing-shard", "there is no such file", path.name)
                continue
            try:
                with path.open("rb") as stream:
                    for code, message in verify_shard(stream, path.stat().st_size, tensors):
                        yield Problem(code, message, path.name)
            except OSError as error:
                yield Problem("bundle-unreadable", f"cannot be read ({error.strerror})", path.name)

    def integer(self, key: str) -> int | None:
        """Return a scalar int32 or int64 of the bundle, or None if there is none with that name.

        Raises:
            BundleError: its bytes are missing or damaged.
        """
        tensor = self.tensors.get(key)
        if tensor is None or tensor.shape != () or tensor.dtype not in _INTEGERS:
            return None
        path = self.shards[tensor.shard]
        try:
            if not path.is_file():  # a FIFO would block
                raise BundleError(Problem("bundle-missing-shard", "there is no such file", path.name))
            with path.open("rb") as stream:
                return int.from_bytes(read_small(stream, tensor), "little", signed=True)
        except ShardError as error:
            raise BundleError(Problem(error.code, str(error), path.name)) from error
        except OSError as error:
            raise BundleError(
                Problem("bundle-missing-shard", f"cannot be read ({error.strerror})", path.name)
            ) from error


def shows_bundle(source: Source) -> bool:
    """Return whether the file is the index of a bundle; other databases end as it does, under other names.

    Its magic is at its end, which a file that was cut short has lost: then its name and the files beside it tell. Other
    programs call their files ``.index``, too.
    """
    if source.path is None or not source.name.endswith(_INDEX) or not source.length:
        return False
    return source.end(len(MAGIC)) == MAGIC or _is_promised(source.path.with_name(source.name))


def _is_promised(index: Path) -> bool:
    prefix = index.name.removesuffix(_INDEX)
    if _OWN_NAME.fullmatch(prefix):
        return True
    try:
        if any(_SHARD.fullmatch(path.name.removeprefix(prefix)) for path in index.parent.iterdir()):
            return True
        with opened(index.with_name(_POINTER)) as (stream, _):
            pointer = stream.read(_POINTER_BYTES).decode("utf-8", "replace")
    except (DamagedError, OSError):
        return False
    return re.search(rf'^(all_)?model_checkpoint_paths?: "([^"]*/)?{re.escape(prefix)}"', pointer, re.M) is not None


def check_bundle(source: Source) -> Iterator[Problem]:
    """Yield what is wrong with the bundle of an index file: the index, and every byte of the data files beside it."""
    if source.path is None:
        return  # in an archive: its data files are members of it
    found: Iterable[Problem]
    try:
        found = Bundle.open(source.path.with_name(source.name.removesuffix(_INDEX))).problems()
    except BundleError as error:
        found = [error.problem]
    folder = source.file.removesuffix(source.name)
    yield from (replace(problem, file=f"{folder}{problem.file}") for problem in found)


def read_index(data: bytes) -> tuple[dict[str, Tensor], int]:
    """Return the tensors of an index file by key, and how many data files there are; raises DamagedError."""
    try:
        return _index(read_table(data))
    except (TableError, WireError) as error:
        raise DamagedError(str(error)) from error


def _index(table: dict[bytes, bytes]) -> tuple[dict[str, Tensor], int]:
    header = table.pop(b"", None)
    if header is None:
        raise TableError("holds no bundle header")
    values = dict(fields(header))
    count = values.get(1, 0)
    if values.get(2, 0) != 0:
        raise TableError("was written on a big-endian machine", unsupported=True)
    if not isinstance(count, int) or not 0 < count <= _MAX_SHARDS:
        raise TableError(f"claims {count!r} data files")
    tensors = {}
    for raw, value in table.items():
        tensor = _tensor(raw.decode("utf-8", "backslashreplace"), value)
        if tensor.shard >= count:
            raise TableError(f"{tensor.label} is in data file {tensor.shard} of {count}")
        tensors[tensor.key] = tensor
    return tensors, count


def _tensor(key: str, data: bytes) -> Tensor:
    numbers = {1: 0, 3: 0, 4: 0, 5: 0, 6: 0}
    shape: tuple[int, ...] | None = ()
    for number, value in fields(data):
        if number in numbers and isinstance(value, int):
            numbers[number] = value
        elif number == 2 and isinstance(value, bytes):
            shape = _shape(value)
        elif number == 7:
            shape = None
    dtype, shard, offset, size, crc = numbers.values()
    tensor = Tensor(key, dtype, shape, shard, offset, size, crc)
    width = ELEMENT_BYTES.get(dtype)
    if shape is None:
        fits = size == 0
    elif width is None:
        fits = tensor.elements <= size or dtype not in (DT_STRING, DT_VARIANT)
    else:
        fits = tensor.elements * width == size
    if not fits or offset >> 62 or size >> 62:
        raise TableError(f"{tensor.label}: {size} bytes do not fit its shape {escaped(str(list(shape or ())))}")
    return tensor


def _shape(data: bytes) -> tuple[int, ...]:
    dims = []
    for number, value in fields(data):
        if number == 2 and isinstance(value, bytes):
            size = dict(fields(value)).get(1, 0)
            dims.append(signed(size) if isinstance(size, int) else -1)
        elif number == 3 and value:
            raise TableError("a shape of unknown rank")
    if len(dims) > 254 or any(d < 0 for d in dims):
        raise TableError("an impossible shape")
    return tuple(dims)
