"""A lone JSON file with the state of a data loader: generators, arrays and counters, replaced whole, with a digest.

The file is plain JSON that any program can read: states of generators as NumPy gives them (integers written out),
arrays with dtype and shape (a nested list would forget both). One field, ``state_digest``, is the digest of all others,
so that a changed digit is noticed also where no manifest lists the file.
"""

import base64
import binascii
import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ckptkit.errors import DamagedError, UsageError
from ckptkit.formats import strict_json
from ckptkit_numpy import live_trees, rng_file
from ckptkit_numpy.rng_file import DIGEST

_ARRAY = {"dtype", "shape", "base64"}
_KINDS = ("i1", "u1", "i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
_DTYPES = {"|b1", "|i1", "|u1", *(order + kind for order in "<>" for kind in _KINDS)}


class NumpyEncoder(json.JSONEncoder):
    """Writes NumPy values: arrays with their dtype and shape (see ``pack_array``), scalars as plain numbers."""

    def default(self, o: Any) -> Any:
        """Return what to write instead of a NumPy value."""
        import numpy as np

        if isinstance(o, np.ndarray):
            return pack_array(o)
        return o.item() if isinstance(o, (np.integer, np.floating, np.bool_)) else super().default(o)


def write_state(path: str | Path, state: Mapping[str, Any]) -> None:
    """Replace a state file by a new one: whenever the power fails, it is the old or the new one.

    Args:
        path: the file; its folder is created.
        state: JSON values, NumPy arrays and scalars; states of generators as ``generator.bit_generator.state``.

    Raises:
        UsageError: something in it cannot be written, or the file would be larger than one that is read back may be.
    """
    try:
        plain = json.loads(json.dumps(_with_listed_words(state), cls=NumpyEncoder, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{path}: the state cannot be written: {error}", hint="keep plain values and arrays"
        ) from error
    digest = rng_file.digest_of(plain)
    if digest is None:
        raise UsageError(f"{path}: the state cannot be written: a key begins with '$'", hint="rename the key")
    data = json.dumps({**plain, DIGEST: digest}).encode()
    if len(data) > strict_json.MAX_BYTES:
        message = f"{path}: the state has {len(data)} bytes, a state file at most {strict_json.MAX_BYTES}"
        raise UsageError(message, hint="keep fewer samples in it")
    replace_whole(Path(path), data)


def read_state(path: str | Path) -> dict[str, Any]:
    """Read a state file; every field of the generators in it is judged before NumPy sees it.

    A file without a digest (of another program, or an older one) is read with a warning.

    Returns:
        The state that was written, with arrays as arrays.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedError: it is not what was written, or a field is not valid; names file and field.
    """
    path = Path(path)
    state = strict_json.load(path)
    if not isinstance(state, dict):
        raise DamagedError(f"{path.name}: does not hold the state of a loader")
    for fault in rng_file.faults(state):
        raise DamagedError(f"{path.name}: {fault}")
    if state.pop(DIGEST, None) is None:
        import logging  # a verification imports this file, and takes less time without

        logging.getLogger("ckptkit_numpy").warning(
            "%s: has no %s, so a changed digit in it would not be noticed", path, DIGEST
        )
    try:
        unpacked: dict[str, Any] = _unpacked(state)
    except DamagedError as error:
        raise DamagedError(f"{path.name}: {error.message}") from error
    return unpacked


def generator_from(state: Any) -> Any:
    """Return a new NumPy generator in a saved state, once every field of the state has been judged.

    Args:
        state: what ``generator.bit_generator.state`` gave, perhaps with ``seed_seq`` beside it.

    Raises:
        DamagedError: a field is not valid: NumPy would crash, hang or read foreign memory.
    """
    try:
        content = strict_json.loads(strict_json.dumps({"generator": state}))
    except UsageError as error:
        raise DamagedError(f"generator: {error.message}") from error
    for fault in rng_file.faults(content):
        raise DamagedError(fault)
    return live_trees.build_tree(rng_file.decoded_tree(content))["generator"]


def pack_array(array: Any) -> dict[str, Any]:
    """Return an array as JSON values: dtype and shape in words, the bytes as base64.

    A nested list would forget both: float32 comes back as float64, and a shape of (0, 3) as (0,).

    Raises:
        TypeError: its dtype is not one of plain numbers.
    """
    if array.dtype.str not in _DTYPES:
        raise TypeError(f"an array of dtype {array.dtype} cannot be written to a state file")
    return {
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "base64": base64.b64encode(array.tobytes()).decode("ascii"),
    }


def unpack_array(value: Any, where: str) -> Any:
    """Return the array that ``pack_array`` wrote; an array is returned as it is.

    Raises:
        DamagedError: it is something else, or has more or fewer bytes than its shape; the message names the place.
    """
    import numpy as np

    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, Mapping) or set(value) != _ARRAY:
        raise DamagedError(f"{where}: is not an array with its dtype and shape")
    dtype, shape, text = value["dtype"], value["shape"], value["base64"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise DamagedError(f"{where}.dtype: {str(dtype)[:40]!r} is not the dtype of plain numbers")
    if not isinstance(shape, list) or len(shape) > 16 or not all(type(n) is int and 0 <= n < 2**40 for n in shape):
        raise DamagedError(f"{where}.shape: {str(shape)[:60]} is not a shape")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise DamagedError(f"{where}.base64: is not base64 text") from error
    expected = math.prod(shape) * np.dtype(dtype).itemsize
    if len(data) != expected:
        raise DamagedError(f"{where}: has {len(data)} bytes, its dtype and shape need {expected}")
    return np.frombuffer(data, dtype).reshape(shape).copy()


def replace_whole(path: Path, data: bytes) -> None:
    """Replace a file by new content: whoever reads it, and whenever the power fails, it is the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _with_listed_words(value: Any) -> Any:
    """Return the value with the words of generators as lists of numbers, as every reader of such states knows them."""
    if not isinstance(value, Mapping):
        return value
    if isinstance(value.get("bit_generator"), str):
        return {name: _listed(item) for name, item in value.items()}
    return {name: _with_listed_words(item) for name, item in value.items()}


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _listed(item) for name, item in value.items()}
    return value.tolist() if hasattr(value, "tolist") else value


def _unpacked(value: Any, where: str = "") -> Any:
    if isinstance(value, dict):
        if set(value) == _ARRAY:
            return unpack_array(value, where)
        return {name: _unpacked(item, f"{where}.{name}" if where else name) for name, item in value.items()}
    if isinstance(value, list):
        return [_unpacked(item, f"{where}[{index}]") for index, item in enumerate(value)]
    return value
