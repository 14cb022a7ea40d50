"""Writes arrays into an ``.npz`` as ``numpy.savez`` does, in blocks that are not copied first."""

import zipfile
from collections.abc import Mapping
from io import BufferedIOBase
from typing import Any

_BLOCK = 1 << 20  # bytes: each is summed, digested and written while it is in the processor's cache


def write(stream: BufferedIOBase, arrays: Mapping[str, Any]) -> None:
    """Write the arrays, by name, into an open new file; they hold no objects. Raises OSError."""
    import numpy as np
    from numpy.lib import format as npy

    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, given in arrays.items():
            array = np.asarray(given, order="C")
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array_header_1_0(member, npy.header_data_from_array_1_0(array))
                data = memoryview(array.reshape(-1).view(np.uint8))
                for start in range(0, len(data), _BLOCK):
                    member.write(data[start : start + _BLOCK])
