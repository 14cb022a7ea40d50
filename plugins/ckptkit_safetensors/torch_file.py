"""Writes plain nested state as `torch.save` does, equal state as equal bytes, each summed and digested meanwhile.

Source: torch/serialization.py (``_save``) and "Serialized file format for torch.save" in the notes of torch's
documentation. Tensors are pickled by torch itself; what it would give a storage becomes the name of a member.
"""

import io
import pickle
import sys
from collections import OrderedDict
from io import BufferedIOBase
from typing import Any

from ckptkit.formats.stored_zip import StoredZip
from ckptkit_safetensors.kinds import is_tensor
from ckptkit_safetensors.lazy_import import lazy_import

_ALIGNMENT = 64  # bytes, as torch has it: a member that is mapped can be used where it lies
_PROTOCOL = 2
_ROOT = "archive"
_ATOMS = (bool, int, float, str, type(None))
_STORAGES = {
    "float64": "DoubleStorage", "float32": "FloatStorage", "float16": "HalfStorage", "bfloat16": "BFloat16Storage",
    "int64": "LongStorage", "int32": "IntStorage", "int16": "ShortStorage", "int8": "CharStorage",
    "uint8": "ByteStorage", "bool": "BoolStorage", "complex64": "ComplexFloatStorage",
    "complex128": "ComplexDoubleStorage",
}  # fmt: skip


def write(stream: BufferedIOBase, state: Any) -> None:
    """Write a state into an open new file.

    Args:
        stream: written from its beginning to its end.
        state: a plain one (``is_plain``).

    Raises:
        OSError: it cannot be written.
    """
    text = io.BytesIO()
    pickler = _Pickler(text)
    pickler.dump(_canonical(state, {}))
    archive = StoredZip(stream, alignment=_ALIGNMENT)
    archive.add(f"{_ROOT}/data.pkl", text.getbuffer())
    for name, value in (
        (".format_version", "1"),
        (".storage_alignment", str(_ALIGNMENT)),
        ("byteorder", sys.byteorder),
    ):
        archive.add(f"{_ROOT}/{name}", value.encode())
    for key, data in pickler.storages.values():
        archive.add(f"{_ROOT}/data/{key}", data)
    archive.add(f"{_ROOT}/version", b"3\n")
    archive.add(f"{_ROOT}/.data/serialization_id", b"0" * 40)  # torch logs it, and looks at it for nothing else
    archive.finish()


def is_plain(value: Any) -> bool:
    """Return whether it is dicts, lists, tuples, numbers, text, and dense tensors in main memory, each on its own."""
    kind = type(value)
    if kind in (dict, OrderedDict):
        return all(is_plain(key) and is_plain(entry) for key, entry in value.items())
    if kind in (list, tuple):
        return all(map(is_plain, value))
    return kind in _ATOMS or (is_tensor(value) and _is_plain_tensor(value))


class _Storage:
    """Stands for the storage of a tensor in the arguments of its pickle."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor


class _Pickler(pickle.Pickler):
    """Pickles everything but the elements of tensors, of which it collects the bytes by name of their member."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, protocol=_PROTOCOL)
        self.storages: dict[Any, tuple[str, memoryview]] = {}

    def reducer_override(self, value: Any) -> Any:
        """Return how torch puts a tensor together again; others are pickled as they are."""
        if not is_tensor(value):
            return NotImplemented
        function, arguments = value.__reduce_ex__(_PROTOCOL)[:2]
        return function, (_Storage(value), *arguments[1:])

    def persistent_id(self, value: Any) -> Any:
        """Return what names the storage of a tensor."""
        if not isinstance(value, _Storage):
            return None
        torch, tensor = lazy_import("torch"), value.tensor
        place = tensor.data_ptr() or id(tensor)  # an empty one has no place
        if place not in self.storages:
            flat = tensor.as_strided((tensor.numel(),), (1,))
            data = memoryview(flat.view(torch.uint8).numpy()) if tensor.numel() else memoryview(b"")
            self.storages[place] = str(len(self.storages)), data
        kind = getattr(torch, _STORAGES[_dtype(tensor)])
        return "storage", kind, self.storages[place][0], "cpu", tensor.numel()


def _canonical(value: Any, atoms: dict[Any, Any]) -> Any:
    """Return a copy in which equal text is the same object: pickle refers back to what it has written, by identity."""
    kind = type(value)
    if kind in (dict, OrderedDict):
        return kind((_canonical(key, atoms), _canonical(entry, atoms)) for key, entry in value.items())
    if kind in (list, tuple):
        return kind([_canonical(entry, atoms) for entry in value])
    if kind is str:
        return atoms.setdefault(value, value)
    if is_tensor(value) and value.is_contiguous():
        return value.as_strided(value.shape, _contiguous(value.shape))
    return value


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _is_plain_tensor(tensor: Any) -> bool:
    kind = type(tensor)
    return (
        (kind.__module__, kind.__name__) == ("torch", "Tensor")
        and tensor.device.type == "cpu"
        and str(tensor.layout) == "torch.strided"
        and _dtype(tensor) in _STORAGES
        and not (tensor.is_conj() or tensor.is_neg() or tensor.requires_grad or vars(tensor))
        and tensor.untyped_storage().nbytes() == tensor.nbytes
    )


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of a tensor of this shape in C order: sides of one may have had any."""
    strides, step = [], 1
    for side in reversed(shape):
        strides.append(step)
        step *= max(1, side)
    return (*reversed(strides),)
