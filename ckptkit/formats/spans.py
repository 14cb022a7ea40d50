"""Where the tensors of a file lie in it: those of a safetensors file, the members of a zip (`.npz`), or an array."""

from collections.abc import Mapping
from typing import BinaryIO

from ckptkit.errors import DamagedError
from ckptkit.formats import npy, safetensors_header, zip_directory
from ckptkit.formats.sources import Source

Span = tuple[int, int]
"""Where it begins, counted from the beginning of the file, and how many bytes it has."""
_STORED = 0
_ZIP = b"PK\x03\x04"


def spans_of(stream: BinaryIO, length: int) -> Mapping[str, Span]:
    """Return the spans of a file by the names of what lies there; none where it is of another kind, or damaged.

    Args:
        stream: the file, seekable.
        length: its bytes.
    """
    source = Source(stream, length, "", "", stored=length)
    try:
        if safetensors_header.shows_safetensors(source):
            return _of_safetensors(source)
        if source.start(4) == _ZIP:
            return _of_zip(stream, length)
        if npy.shows_npy(source):
            return {"": (0, length)}
    except (DamagedError, zip_directory.ZipLayoutError, OSError, EOFError):
        return {}
    return {}


def _of_safetensors(source: Source) -> Mapping[str, Span]:
    header = safetensors_header.read_header_of(source)
    data = 8 + int.from_bytes(source.start(8), "little")
    return {name: (data + one.begin, one.end - one.begin) for name, one in header.tensors.items()}


def _of_zip(stream: BinaryIO, length: int) -> Mapping[str, Span]:
    """Return the members that are stored as they are: packed ones share nothing once a byte of them is another."""
    found = {}
    for member in zip_directory.read_directory(stream, length).entries:
        if member.method == _STORED and member.size:
            found[member.name] = zip_directory.read_local_header(stream, member).data, member.size
    return found
