"""The bytes of a tensor or array as they go into a file and into a digest: C order, little-endian, not copied if so."""

from typing import Any

from ckptkit_safetensors.lazy_import import lazy_import
from ckptkit_safetensors.tensors import is_array


def bytes_of(value: Any) -> memoryview:
    """Return the bytes of all elements; those of a contiguous value in main memory are its own, not a copy."""
    if is_array(value):
        np = lazy_import("numpy")
        little = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        return memoryview(little.reshape(-1).view(np.uint8))
    plain = value.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
    if not plain.numel():
        return memoryview(b"")
    # A single element may have any stride and be contiguous all the same; view() wants stride 1.
    return memoryview(plain.as_strided(plain.shape, (1,)).view(lazy_import("torch").uint8).numpy())
