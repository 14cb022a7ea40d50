"""The plain values of a torch file, with those of its scalar tensors, read without torch and without unpickling."""

import struct
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from ckptkit.errors import DamagedError
from ckptkit.formats.opening import opened, reason
from ckptkit.formats.pickle_machine import INERT, Global
from ckptkit.formats.pickle_stream import PickleError
from ckptkit.formats.pickle_values import plain_value
from ckptkit.formats.zip_directory import Member
from ckptkit.formats.zips import list_members, read_entry

_MAX_PICKLE = 64 << 20
_MAX_STORAGE = 4096  # what holds one number is small
_FORMS = {
    "FloatStorage": "<f", "DoubleStorage": "<d", "LongStorage": "<q", "IntStorage": "<i", "ShortStorage": "<h",
    "CharStorage": "<b", "ByteStorage": "<B",
}  # fmt: skip


def torch_value(path: Path) -> object:
    """Return what ``torch.load`` would, with ``INERT`` for every tensor that is not a single number.

    Args:
        path: a file of ``torch.save`` in today's form, a zip.

    Raises:
        DamagedError: it is not such a file.
    """
    try:
        with opened(path) as (stream, length):
            members = {e.name.partition("/")[2].casefold(): e for e in list_members(stream, length)}
            entry = members.get("data.pkl")
            if entry is None:
                raise DamagedError(f"{path.name}: has no data.pkl: not a file of torch.save")
            data = read_entry(stream, entry, limit=_MAX_PICKLE, check_crc=False)
            scalars = _Scalars(stream, members)
            return plain_value(BytesIO(data), len(data), persistent=scalars.persistent, call=scalars.call)
    except (OSError, PickleError) as error:
        raise DamagedError(f"{path.name}: cannot be read ({reason(error)})") from error


def torch_table(path: Path) -> dict[Any, Any]:
    """Return the dict in a file of ``torch.save``; empty where it holds none, or cannot be read: its check says so."""
    try:
        value = torch_value(path)
    except DamagedError:
        return {}
    return value if isinstance(value, dict) else {}


class _Scalars:
    """The two hooks of the machine: storages by their persistent ids, and tensors without dimensions made of them."""

    def __init__(self, stream: BinaryIO, members: Mapping[str, Member]) -> None:
        self._stream, self._members = stream, members

    def persistent(self, identifier: object) -> object:
        match identifier:
            case ("storage", Global() as kind, str(key), *_):
                return kind.name, key
        return INERT

    def call(self, function: Global, arguments: object) -> object | None:
        if function.module != "torch._utils" or not function.name.startswith("_rebuild_"):
            return None
        match arguments:
            case ((str(kind), str(key)), int(offset), (), *_):
                return self._number(kind, key, offset)
            case ((int() | float()) as value, *_):  # a parameter around a scalar
                return value
        return INERT

    def _number(self, kind: str, key: str, offset: int) -> object:
        entry, form = self._members.get(f"data/{key}"), _FORMS.get(kind)
        if entry is None or form is None or entry.size > _MAX_STORAGE:
            return INERT
        data = read_entry(self._stream, entry, limit=_MAX_STORAGE, check_crc=False)
        size = struct.calcsize(form)
        part = data[offset * size : (offset + 1) * size] if offset >= 0 else b""
        return struct.unpack(form, part)[0] if len(part) == size else INERT
