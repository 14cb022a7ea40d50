"""The bytes of a tensor."""

import ctypes
from typing import Any


def raw_bytes(tensor: Any) -> bytes:
    """Return the bytes of a strided tensor; not by way of NumPy, which has no bfloat16 and may be missing."""
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    return ctypes.string_at(plain.data_ptr(), plain.nbytes) if plain.nbytes else b""
