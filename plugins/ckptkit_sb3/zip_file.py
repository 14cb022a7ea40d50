"""``model.zip``, as SB3 itself writes it; for an algorithm that goes on meanwhile it is written into memory first."""

import io
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

from ckptkit.errors import BackendError
from ckptkit_sb3.code_free import code_replaced

_OF_SB3 = "stable_baselines3.common.base_class"
_BUFFER = 1 << 20  # bytes: SB3 writes small pieces, and takes no other kind of stream
Create = Callable[[Path], io.BufferedIOBase]
Write = Callable[[Path, Create], list[str]]
"""Writes the zip to a path, which it may open with the other argument; returns which attributes are not in it."""


def write(model: Any, path: Path, create: Create) -> list[str]:
    """Write the zip of a live algorithm; see ``Write``.

    Raises:
        BackendError: SB3 cannot write it.
    """
    own = [name for name, value in vars(model).items() if callable(value) and hasattr(type(model), name)]
    try:
        with code_replaced(model) as replaced:
            if _is_sb3s(model):
                with create(path) as stream, io.BufferedWriter(cast("Any", _OneWay(stream.write)), _BUFFER) as buffered:
                    model.save(buffered, exclude=own)
            else:  # a stranger's may want a path
                model.save(path, exclude=own)
    except (BackendError, OSError):
        raise
    except Exception as error:  # cloudpickle fails in as many ways as there are attributes
        raise BackendError(
            f"SB3 cannot write the agent's zip: {type(error).__name__}: {error}".splitlines()[0],
            hint="an attribute of the agent cannot be pickled; remove it or exclude it in _excluded_save_params",
        ) from error
    return replaced


def taken(model: Any) -> Write:
    """Write the zip into memory, and return what puts it into a file; raises as ``write``."""
    data = bytearray()
    with tempfile.TemporaryDirectory(prefix="ckptkit-") if not _is_sb3s(model) else nullcontext("") as folder:
        path = Path(folder, "model.zip")
        replaced = write(model, path, lambda _: _OneWay(data.extend))
        if not _is_sb3s(model):
            data += path.read_bytes()
    return partial(_put, data, replaced)


def _is_sb3s(model: Any) -> bool:
    return bool(type(model).save.__module__ == _OF_SB3)


def _put(data: bytearray, replaced: list[str], path: Path, create: Create) -> list[str]:
    with create(path) as stream:
        stream.write(data)
    return replaced


class _OneWay(io.BufferedIOBase):
    """A file that cannot seek, whatever is behind it: then the zip is the same everywhere."""

    def __init__(self, put: Callable[[Any], object]) -> None:
        self._put, self._size = put, 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, data: Any) -> int:
        self._put(data)
        self._size += len(data)
        return len(data)
