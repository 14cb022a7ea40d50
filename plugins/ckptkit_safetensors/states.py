"""Optimizer, scheduler and scaler state as plain ``.pth`` files that load with ``weights_only=True``, or not at all."""

import math
from collections.abc import Callable, Iterator, Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from ckptkit.errors import BackendError, DamagedError, UnsafeContentError
from ckptkit.sink import Sink
from ckptkit_safetensors import torch_file
from ckptkit_safetensors.capture import portable
from ckptkit_safetensors.digests import digest_state
from ckptkit_safetensors.lazy_import import lazy_import

_PLAIN = (bool, int, float, str, bytes, bytearray, complex, type(None))


def write(path: Path, state: Any, part: str, *, create: Callable[[Path], BufferedIOBase]) -> str | None:
    """Write one ``state_dict``, and return the digest of the file, if it is that of the state too (``digest``).

    Args:
        path: the new file.
        state: what ``state_dict()`` returned.
        part: ``optimizer``, ``scheduler`` or ``scaler``, for messages.
        create: opens it (``SaveContext.create``).

    Raises:
        BackendError: the file would not load with ``weights_only=True``; the message names the key and the type.
        OSError: it cannot be written.
    """
    torch, values = lazy_import("torch"), portable(state)
    try:
        with create(path) as stream:
            if plain := torch_file.is_plain(values):
                torch_file.write(stream, values)
            else:
                torch.save(values, stream)
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)  # mmap: no tensor is read
        return getattr(stream, "digest", None) if plain else None
    except OSError:
        raise
    except Exception as error:  # pickle, torch and the state's own code raise whatever they like
        if isinstance(error.__context__, OSError):  # torch hides a full disk behind "unexpected pos"
            raise error.__context__ from error
        strange = next(_strange(state, part), None)
        reason = f"{strange[0]} is a {strange[1]}" if strange else str(error).splitlines()[0]
        hint = "turn it into a plain number, text, list, dict or tensor (a NumPy number: float(x)) before saving"
        raise BackendError(f"{path.name}: would not load with weights_only=True: {reason}", hint=hint) from error


def digest(state: Any) -> str:
    """Return the digest of the file that a ``state_dict`` would be, or of its values where that tells more than them.

    A pickle of objects may differ where they are equal.
    """
    values = portable(state)
    if not torch_file.is_plain(values):
        return digest_state(values)
    with Sink(None) as sink:
        torch_file.write(sink, values)
    return sink.digest


def _strange(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """Yield (key, type) of the values that are neither plain nor tensors."""
    kind = type(value)
    if isinstance(value, Mapping) and kind.__name__ in ("dict", "OrderedDict", "Counter"):
        for key, entry in value.items():
            yield from _strange(key, f"{where} key {key!r}")
            yield from _strange(entry, f"{where}[{key!r}]")
    elif kind in (list, tuple, set):
        for index, entry in enumerate(value):
            yield from _strange(entry, f"{where}[{index}]")
    elif kind not in _PLAIN and kind.__module__.partition(".")[0] != "torch":
        yield where, f"{kind.__module__}.{kind.__qualname__}"


def read(path: Path) -> Any:
    """Read one state file, without running anything from it.

    Raises:
        UnsafeContentError: it holds more than plain values and tensors.
        DamagedError: it cannot be read.
    """
    try:
        return lazy_import("torch").load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DamagedError(f"{path.name}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # damaged files make torch raise EOFError, KeyError, RuntimeError, UnpicklingError, ...
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        if type(error).__name__ == "UnpicklingError" and "eights" in text:
            raise UnsafeContentError(f"{path.name}: holds more than plain values and tensors") from error
        raise DamagedError(f"{path.name}: cannot be read ({text})") from error


def check_optimizer_state(state: Any, name: str) -> None:
    """Raise DamagedError unless the value has the form of an optimizer's ``state_dict``."""
    groups = state.get("param_groups") if isinstance(state, dict) else None
    if not isinstance(groups, list) or not isinstance(state.get("state"), dict):
        raise DamagedError(f"{name}: is not the state of an optimizer (no 'state' and 'param_groups')")
    for group in groups:
        places = group.get("params") if isinstance(group, dict) else None
        if not isinstance(places, list) or not all(type(p) is int for p in places):
            raise DamagedError(f"{name}: has a parameter group without a list of parameters")
    every = [place for group in groups for place in group["params"]]
    if len(set(every)) != len(every) or not all(isinstance(v, dict) for v in state["state"].values()):
        raise DamagedError(f"{name}: has parameter groups or states that overlap or are not dicts")


def bytes_of(value: Any) -> int:
    """Return about how many bytes the tensors of nested state take."""
    if isinstance(value, Mapping):
        return sum(bytes_of(entry) for entry in value.values())
    if isinstance(value, (list, tuple)):
        return sum(bytes_of(entry) for entry in value)
    size = getattr(value, "nbytes", 0)
    return int(size) if isinstance(size, (int, float)) and math.isfinite(size) else 0
