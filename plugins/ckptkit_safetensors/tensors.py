"""Named tensors: what may be saved, which names share one tensor, and how they go into a safetensors file and back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ckptkit.errors import BackendError, DamagedError
from ckptkit.formats.safetensors_header import HeaderError, check_name, read_header
from ckptkit_safetensors import item_record
from ckptkit_safetensors.lazy_import import lazy_import

_TORCH = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "complex64": "C64", "bool": "BOOL",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8",
    "float8_e4m3fn": "F8_E4M3", "float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2": "F8_E5M2",
    "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e8m0fnu": "F8_E8M0", "float4_e2m1fn_x2": "F4",
    "complex128": "C128", "complex32": "C32",
}  # fmt: skip
_NUMPY = {n: d for n, d in _TORCH.items() if not n.startswith(("bfloat", "float8", "float4")) and n != "complex32"}
IN_PAIRS = {"C128": "F64", "C32": "F16"}
"""Complex dtypes that the format has no name for, and that of their real and imaginary parts, a last axis of two."""
_REAL = (*IN_PAIRS.values(),)
_COMPLEX = 16
"""Bytes of the widest complex number."""
_PLAIN = {("torch", "Tensor"), ("torch.nn.parameter", "Parameter"), ("numpy", "ndarray"), ("numpy", "memmap")}


@dataclass(slots=True, eq=False)
class TensorSet:
    """Named tensors, each piece of memory once.

    Attributes:
        tensors: name -> tensor or array, in the order of the model.
        aliases: name of a tied tensor -> name in ``tensors`` that holds it.
        arrays: which names are NumPy arrays.
    """

    tensors: dict[str, Any]
    aliases: dict[str, str] = field(default_factory=dict)
    arrays: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        """Return all names, the tied ones too."""
        return [*self.tensors, *self.aliases]

    def __getitem__(self, name: str) -> Any:
        return self.tensors[self.aliases.get(name, name)]

    def nbytes(self) -> int:
        """Return the bytes of data."""
        return sum(int(value.nbytes) for value in self.tensors.values())


def is_array(value: object) -> bool:
    """Return whether the value is a NumPy array, without importing NumPy."""
    return any(c.__module__ == "numpy" and c.__name__ == "ndarray" for c in type(value).__mro__)


def describe(value: Any) -> tuple[tuple[int, ...], str]:
    """Return (shape, name of the dtype in safetensors) of a tensor or array that may be saved."""
    if is_array(value):
        return tuple(value.shape), _NUMPY[value.dtype.name]
    return tuple(value.shape), _TORCH[str(value.dtype).removeprefix("torch.")]


def collect(values: Mapping[str, Any], what: str) -> TensorSet:
    """Check that every value can be saved, and find the names that share one tensor.

    Args:
        values: name -> tensor or array.
        what: the component, for messages.

    Raises:
        BackendError: a name or a value that safetensors cannot hold; the message names it.
    """
    result = TensorSet({})
    seen: dict[Any, str] = {}
    for name, value in values.items():
        _refuse(name, value, what)
        if is_array(value):
            result.arrays.append(name)
        first = seen.setdefault(_identity(value), name)
        if first == name:
            result.tensors[name] = value
        else:
            result.aliases[name] = first
    return result


def _refuse(name: str, value: Any, what: str) -> None:
    where = f"{what}: {name!r}"
    try:
        check_name(name)
    except HeaderError as error:
        raise BackendError(f"{what}: cannot be saved, {error}", hint="rename it") from error
    reason = why_not(value)
    if reason is not None:
        hint = "only plain dense tensors and arrays are saved; convert it, or put JSON values into Policy.extra"
        raise BackendError(f"{where} {reason}", hint=hint)


def why_not(value: Any) -> str | None:
    """Return why a value cannot be written as a tensor or array, or None."""
    kind = type(value)
    if (kind.__module__, kind.__name__) not in _PLAIN:  # subclasses carry more than their elements: masks, scales
        return f"is a {kind.__module__}.{kind.__qualname__}, not a plain tensor"
    if is_array(value):
        return None if value.dtype.name in _NUMPY else f"has dtype {value.dtype}, which safetensors cannot hold"
    if value.is_quantized:
        return "is quantized"
    if str(value.layout) != "torch.strided":
        return f"is sparse ({value.layout})"
    if value.device.type == "meta":
        return "is on the meta device and has no values"
    if str(value.dtype).removeprefix("torch.") not in _TORCH:
        return f"has dtype {value.dtype}, which safetensors cannot hold"
    return None


def _identity(value: Any) -> Any:
    """Return what is equal for two names of the very same elements; overlapping but different views are not."""
    if is_array(value):
        place: Any = value.__array_interface__["data"][0]
        return ("numpy", place, value.shape, value.strides, value.dtype.str) if value.size else id(value)
    if value.numel() == 0:
        return id(value)
    layout = (tuple(value.shape), value.stride(), value.dtype, value.is_conj(), value.is_neg())
    return ("torch", value.device, value.data_ptr(), *layout)


def _from_pairs(value: Any) -> Any:
    if is_array(value):
        return value.view("<c16").reshape(value.shape[:-1])
    # In a file numbers lie at multiples of eight; torch copies complex ones by instructions that want sixteen.
    aligned = value if value.data_ptr() % _COMPLEX == 0 else value.clone()
    return lazy_import("torch").view_as_complex(aligned)


def read(paths: Iterable[Path]) -> tuple[TensorSet, dict[str, Any]]:
    """Read the tensors of one file, or of all shards of one model.

    Tensors come as the library maps them from the file: copy before keeping them.

    Returns:
        The tensors (each where it was saved from: torch tensor or NumPy array) and the record of the first file.

    Raises:
        DamagedError: a file breaks the rules of the format, or two shards hold one name.
    """
    result = TensorSet({})
    first: dict[str, Any] | None = None
    for path in paths:
        try:
            header = read_header(path)
            record = item_record.of_tensors(header.metadata)
        except DamagedError as error:
            raise DamagedError(f"{path.name}: {error}") from error
        first = record if first is None else first
        arrays = set(record.get("arrays", []))
        loaded = _load_file(path, only_arrays=bool(header.tensors) and arrays.issuperset(header.tensors))
        for name in record.get("pairs", ()):
            if name not in loaded or header.tensors[name].shape[-1:] != (2,) or header.tensors[name].dtype not in _REAL:
                raise DamagedError(f"{path.name}: does not hold {name!r} in pairs of numbers")
            loaded[name] = _from_pairs(loaded[name])
        for name, value in loaded.items():
            if name in result.tensors:
                raise DamagedError(f"{path.name}: holds {name!r}, which another shard holds too")
            result.tensors[name] = value.numpy() if name in arrays and not is_array(value) else value
        result.arrays.extend(name for name in loaded if name in arrays)
        for alias, name in record.get("aliases", {}).items():
            if name not in loaded or alias in loaded:
                raise DamagedError(f"{path.name}: ties {alias!r} to {name!r}, which does not fit its tensors")
            result.aliases[alias] = name
    return result, first or {}


def _load_file(path: Path, *, only_arrays: bool) -> dict[str, Any]:
    library = lazy_import("safetensors.numpy" if only_arrays else "safetensors.torch")
    try:
        loaded: dict[str, Any] = library.load_file(path)
    except Exception as error:  # the library's own error type comes with the library
        raise DamagedError(f"{path.name}: cannot be read ({error})") from error
    return loaded
