"""What tensors a file holds: name, dtype, shape, and where the bytes lie; read from headers, without a framework.

Nothing is unpickled, and no tensor is read: safetensors, ``.npy`` and ``.npz``, HDF5, files of ``torch.save`` (also
those in an agent's zip) and bundles of TensorFlow say it without their data. Other files hold none, as far as this
room can tell.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import islice
from math import prod
from typing import BinaryIO

from ckptkit.errors import DamagedError
from ckptkit.formats import (
    archives,
    dtypes,
    hdf5,
    hdf5_tensors,
    npy,
    safetensors_header,
    tf_bundle,
    tf_table,
    torch_tensors,
)
from ckptkit.formats.sources import Source
from ckptkit.formats.zip_directory import Member
from ckptkit.formats.zips import list_members, member_stream

MOST = 500_000
"""More tensors of one file are not listed."""
NOWHERE = -1
_DEEPEST = 2
_COPIED = 64 << 20
_NPY_HEADER = npy.MAX_HEADER + 12
_SHARD = ".distcp"
"""Of DCP: zips behind one another, whose names and places are in its ``.metadata``, which is not read here."""
_PROMISES = (".safetensors", ".npy", ".npz", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the numbers of a tensor lie.

    Attributes:
        offset: first byte, counted in what holds it; ``NOWHERE`` where it is in pieces, and so cannot be read here.
        size: bytes from there on.
        shard: file beside the one that lists the tensor; empty for that file itself.
        members: members of archives to go through, the outermost first.
        strides: numbers from one element to the next in each dimension; None where they lie one after the other, the
            last dimension fastest.
        big_endian: whether the most significant byte comes first.
    """

    offset: int
    size: int
    shard: str = ""
    members: tuple[Member, ...] = ()
    strides: tuple[int, ...] | None = None
    big_endian: bool = False


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a file.

    Attributes:
        name: as its framework calls it, the keys of nested dicts joined by dots; empty for a file that is one tensor.
        dtype: in the words of torch and NumPy: ``float32``, ``bfloat16``, ...; as the file says it for anything else.
        shape: its dimensions.
        place: where its bytes are.
        member: path of the file in an archive that holds it; empty outside of archives.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    place: Place
    member: str = ""

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)

    @property
    def label(self) -> str:
        """Its name for people, after that of the file in the archive; unescaped."""
        name = self.name or "(unnamed)"
        return f"{self.member}: {name}" if self.member else name


def tensors_in(source: Source) -> Sequence[Tensor]:
    """Return the tensors of a file, in its order; none where it holds none that are known here.

    Raises:
        DamagedError: it is not the file that it begins or promises to be; the message does not name it.
        OSError: it cannot be read.
    """
    try:
        found = list(islice(_tensors(source, ()), MOST + 1))
    except DamagedError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error) as error:
        raise DamagedError(f"its tensors cannot be listed ({str(error) or type(error).__name__})") from error
    if len(found) > MOST:
        raise DamagedError(f"holds more than {MOST} tensors, which are not listed")
    return found


def opened(stream: BinaryIO, place: Place) -> BinaryIO:
    """Return the stream in which ``place.offset`` counts, given that of the file (of the shard, if it names one).

    Raises:
        DamagedError: a member of an archive cannot be unpacked.
    """
    for depth, member in enumerate(place.members, 1):
        stream = _opened(stream, member, archive=depth < len(place.members))
    return stream


def _tensors(source: Source, within: tuple[Member, ...]) -> Iterator[Tensor]:
    if source.name.endswith(_SHARD):
        return
    if safetensors_header.shows_safetensors(source):
        yield from _of_safetensors(source, within)
    elif archives.shows_zip(source):
        yield from _of_zip(source, within)
    elif hdf5.shows_hdf5(source):
        yield from _of_hdf5(source, within)
    elif npy.shows_npy(source):
        yield from _of_npy(source, within)
    elif not within and source.name.endswith(".index") and source.end(len(tf_table.MAGIC)) == tf_table.MAGIC:
        yield from _of_bundle(source)
    elif not within and source.name.endswith(_PROMISES):
        if not torch_tensors.shows_legacy(source):
            raise DamagedError("is empty" if not source.length else "does not begin as such a file does")
        yield from _of_torch(torch_tensors.of_legacy(source), within)


def _path(within: Sequence[Member]) -> str:
    return "/".join(member.name for member in within)


def _of_safetensors(source: Source, within: tuple[Member, ...]) -> Iterator[Tensor]:
    header = safetensors_header.read_header_of(source)
    begin = header.size - max((info.end for info in header.tensors.values()), default=0)
    for name, info in header.tensors.items():
        place = Place(begin + info.begin, info.end - info.begin, members=within)
        yield Tensor(name, dtypes.SAFETENSORS[info.dtype], info.shape, place, _path(within))


def _of_npy(source: Source, within: tuple[Member, ...]) -> Iterator[Tensor]:
    array = npy.read_header(source.start(_NPY_HEADER), source.length)
    place = Place(
        array.place,
        source.length - array.place,
        members=within,
        strides=_fortran(array.shape) if array.fortran and len(array.shape) > 1 else None,
        big_endian=str(array.descr).startswith(">"),
    )
    name = within[-1].name.removesuffix(".npy") if within else ""
    yield Tensor(name, dtypes.of_numpy(array.descr), array.shape, place, _path(within[:-1]))


def _fortran(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(prod(shape[:axis]) for axis in range(len(shape)))


def _of_hdf5(source: Source, within: tuple[Member, ...]) -> Iterator[Tensor]:
    for found in hdf5_tensors.datasets(source):
        offset = NOWHERE if found.offset is None else found.offset
        place = Place(offset, found.size, members=within, big_endian=found.big_endian)
        yield Tensor(found.name, found.dtype, found.shape, place, _path(within))


def _of_bundle(source: Source) -> Iterator[Tensor]:
    if source.length > tf_table.MAX_FILE_BYTES:
        raise DamagedError(f"is an index of more than {tf_table.MAX_FILE_BYTES} bytes")
    found, count = tf_bundle.read_index(source.start(source.length))
    prefix = source.name.removesuffix(".index")
    for tensor in found.values():
        if tensor.shape is not None:  # else it is in slices, which are tensors of their own
            place = Place(tensor.offset, tensor.size, f"{prefix}.data-{tensor.shard:05d}-of-{count:05d}")
            yield Tensor(tensor.key, dtypes.TENSORFLOW.get(tensor.dtype, f"type {tensor.dtype}"), tensor.shape, place)


def _of_zip(source: Source, within: tuple[Member, ...]) -> Iterator[Tensor]:
    entries = list_members(source.stream, source.length)
    if torch_tensors.is_torch(entries):
        yield from _of_torch(torch_tensors.of_zip(source.stream, entries), within)
        return
    for entry in entries:
        if not entry.size or entry.name.endswith("/") or len(within) >= _DEEPEST:
            continue
        content = member_stream(source.stream, entry)
        inner = source.inner(entry.name, content, entry.size, stored=entry.compressed)
        if entry.method and (archives.shows_zip(inner) or hdf5.shows_hdf5(inner)):
            content = _opened(source.stream, entry, archive=True)
        yield from _tensors(replace(inner, stream=content), (*within, entry))


def _of_torch(found: Iterator[torch_tensors.View], within: tuple[Member, ...]) -> Iterator[Tensor]:
    for view in found:
        members = within if view.member is None else (*within, view.member)
        place = Place(view.offset, view.size, members=members, strides=view.strides, big_endian=view.big_endian)
        yield Tensor(view.name, view.dtype, view.shape, place, _path(within))


def _opened(stream: BinaryIO, member: Member, *, archive: bool) -> BinaryIO:
    """Return the content of a member; of a packed archive a copy, as it is read at random places."""
    content = member_stream(stream, member)
    if not archive or not member.method:
        return content
    if member.size > _COPIED:
        raise DamagedError(f"an archive of {member.size} bytes is packed into it")
    return BytesIO(content.read(member.size))
