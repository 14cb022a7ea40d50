"""Writes arrays into an ``.npz`` as ``numpy.savez`` does, in blocks that are not copied first."""

import io
from collections.abc import Mapping
from io import BufferedIOBase
from typing import Any

from ckptkit.formats.stored_zip import StoredZip


def write(stream: BufferedIOBase, arrays: Mapping[str, Any]) -> None:
    """Write the arrays, by name, into an open new file; they hold no objects. Raises OSError."""
    import numpy as np
    from numpy.lib import format as npy

    archive = StoredZip(stream)
    for name, given in arrays.items():
        array = np.asarray(given, order="C")
        header = io.BytesIO()
        npy.write_array_header_1_0(header, npy.header_data_from_array_1_0(array))
        archive.add(f"{name}.npy", header.getbuffer(), memoryview(array.reshape(-1).view(np.uint8)))
    archive.finish()
