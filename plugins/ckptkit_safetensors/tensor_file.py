"""Writes a safetensors file tensor by tensor, through a file that is digested meanwhile; no tensor is copied first.

Source: the section "Format" of https://github.com/huggingface/safetensors. As the library does, the widest elements go
first, so that every tensor is aligned. The header is filled up so that they begin at a multiple of 64 bytes, where they
can be used as they lie if the file is mapped; the library fills up to eight.
"""

import json
from collections.abc import Callable, Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from ckptkit.errors import BackendError
from ckptkit.formats.safetensors_header import BITS, MAX_HEADER, read_header
from ckptkit.sink import Sink
from ckptkit_safetensors import item_record
from ckptkit_safetensors.tensor_bytes import bytes_of
from ckptkit_safetensors.tensors import IN_PAIRS, TensorSet, describe

Create = Callable[[Path], BufferedIOBase]
Note = Mapping[str, str]
_NONE: Note = {}
_LENGTH, _ALIGNMENT = 8, 64  # bytes: of the length before the header


def write(path: Path, tensors: TensorSet, note: Note = _NONE, *, create: Create) -> str | None:
    """Write one safetensors file, the same bytes for the same tensors, and return its digest if the stream takes one.

    Args:
        path: the new file.
        tensors: what to write.
        note: for the metadata, beside what the tensors are.
        create: opens it (``SaveContext.create``).

    Raises:
        BackendError: there are too many tensors for one header.
        OSError: it cannot be written.
    """
    with create(path) as stream:
        _put(tensors, note, stream, path.name)
    read_header(path)
    return getattr(stream, "digest", None)


def digest(tensors: TensorSet, note: Note = _NONE) -> str:
    """Return the digest of the file that the tensors would be: of all names, shapes, dtypes, values and ties."""
    with Sink(None) as sink:
        _put(tensors, note, sink, "state")
        return sink.digest


def _put(tensors: TensorSet, note: Note, stream: BufferedIOBase, name: str) -> None:
    header, names = _header(tensors, note)
    if len(header) > MAX_HEADER:
        raise BackendError(f"{name}: too many tensors for one file ({len(tensors.tensors)})")
    stream.write(len(header).to_bytes(_LENGTH, "little") + header)
    for each in names:
        stream.write(bytes_of(tensors.tensors[each]))


def _header(tensors: TensorSet, note: Note) -> tuple[bytes, list[str]]:
    """Return the header and the order in which the data of the tensors follows it."""
    described = {name: describe(value) for name, value in tensors.tensors.items()}
    pairs = [name for name, (_, dtype) in described.items() if dtype in IN_PAIRS]
    said = {**note, "aliases": tensors.aliases, "arrays": sorted(tensors.arrays)}
    said |= {"pairs": sorted(pairs)} if pairs else {}
    fields: dict[str, Any] = {"__metadata__": {item_record.KEY: json.dumps(said, sort_keys=True)}}
    stored = {name: _stored(*described[name]) for name in described}
    names = sorted(stored, key=lambda name: (-BITS[stored[name][1]], name))
    begin = 0
    for name in names:
        shape, dtype = stored[name]
        end = begin + int(tensors.tensors[name].nbytes)
        fields[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-(_LENGTH + len(text)) % _ALIGNMENT), names


def _stored(shape: tuple[int, ...], dtype: str) -> tuple[list[int], str]:
    """Return shape and dtype as the format has them: complex numbers that it has no name for are pairs of real ones."""
    if dtype in IN_PAIRS:
        return [*shape, 2], IN_PAIRS[dtype]
    if dtype == "F4":  # torch counts bytes, of two elements each
        return [*shape[:-1], 2 * shape[-1]], dtype
    return [*shape], dtype
