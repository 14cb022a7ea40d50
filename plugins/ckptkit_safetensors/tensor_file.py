"""Writes a safetensors file tensor by tensor, through a file that is digested meanwhile; no tensor is copied first.

Source: the section "Format" of https://github.com/huggingface/safetensors. As the library does, the widest elements go
first, so that every tensor is aligned, and the header is filled up to eight bytes.
"""

import json
from collections.abc import Callable, Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from ckptkit.errors import BackendError
from ckptkit.formats.safetensors_header import BITS, MAX_HEADER, read_header
from ckptkit_safetensors.tensor_bytes import bytes_of
from ckptkit_safetensors.tensors import IN_PAIRS, RECORD_KEY, TensorSet, describe

Create = Callable[[Path], BufferedIOBase]


def write(path: Path, tensors: TensorSet, record: Mapping[str, Any] | None = None, *, create: Create) -> None:
    """Write one safetensors file, the same bytes for the same tensors and record.

    Args:
        path: the new file.
        tensors: what to write.
        record: JSON values for the metadata, beside the aliases.
        create: opens it (``SaveContext.create``).

    Raises:
        BackendError: there are too many tensors for one header.
        OSError: it cannot be written.
    """
    header, names = _header(tensors, record or {})
    if len(header) > MAX_HEADER:
        raise BackendError(f"{path.name}: too many tensors for one file ({len(tensors.tensors)})")
    with create(path) as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        for name in names:
            stream.write(bytes_of(tensors.tensors[name]))
    read_header(path)


def _header(tensors: TensorSet, record: Mapping[str, Any]) -> tuple[bytes, list[str]]:
    """Return the header and the order in which the data of the tensors follows it."""
    described = {name: describe(value) for name, value in tensors.tensors.items()}
    pairs = [name for name, (_, dtype) in described.items() if dtype in IN_PAIRS]
    note = {**record, "aliases": tensors.aliases, "arrays": tensors.arrays, **({"pairs": pairs} if pairs else {})}
    fields: dict[str, Any] = {"__metadata__": {RECORD_KEY: json.dumps(note, sort_keys=True)}}
    stored = {name: _stored(*described[name]) for name in described}
    names = sorted(stored, key=lambda name: (-BITS[stored[name][1]], name))
    begin = 0
    for name in names:
        shape, dtype = stored[name]
        end = begin + int(tensors.tensors[name].nbytes)
        fields[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-len(text) % 8), names


def _stored(shape: tuple[int, ...], dtype: str) -> tuple[list[int], str]:
    """Return shape and dtype as the format has them: complex numbers that it has no name for are pairs of real ones."""
    if dtype in IN_PAIRS:
        return [*shape, 2], IN_PAIRS[dtype]
    if dtype == "F4":  # torch counts bytes, of two elements each
        return [*shape[:-1], 2 * shape[-1]], dtype
    return [*shape], dtype
