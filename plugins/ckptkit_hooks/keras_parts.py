"""What an object is made of, seen from outside: attributes, slots, closures, variables; and what is not state."""

import hashlib
import io
import sys
import threading
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

OPS = ("less", "greater")
"""Functions of ``keras.ops`` that a callback chooses while it trains."""

_CLOSED = ("tensorflow", "torch", "jax", "h5py", "numpy")
_LOCKS = (type(threading.Lock()), type(threading.RLock()))
_FIXED = (FunctionType, BuiltinFunctionType, ModuleType, type)


def variables_of(value: Any) -> list[Any] | None:
    """Return the variables of a layer, metric, optimizer or seed generator, or None for any other object."""
    import keras

    if isinstance(value, keras.Variable) or is_named(value, "tensorflow", "ResourceVariable"):
        return [value]
    if isinstance(value, keras.random.SeedGenerator):
        return [value.state]
    holds = isinstance(value, (keras.Layer, keras.optimizers.Optimizer, keras.metrics.Metric))
    return list(value.variables) if holds else None


def parts_of(value: Any) -> dict[str, Any] | None:
    """Return what an object holds by name (attributes, slots, what a closure sees), or None if that cannot be seen."""
    if isinstance(value, MethodType):
        return {"__self__": value.__self__}
    if isinstance(value, FunctionType):
        return _parts_of_function(value)
    if is_named(value, "functools", "partial"):
        return {"func": value.func, "args": value.args, "keywords": value.keywords}
    if not all(map(_is_written_in_python, type(value).__mro__[:-1])):
        return None
    slots = [name for cls in type(value).__mro__ for name in _slots(cls)]
    held = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    return {**held, **getattr(value, "__dict__", {})}


def digest_of(array: Any) -> str:
    """Return a digest of an array: dtype, shape and bytes."""
    import numpy as np

    head = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.blake2b(head + np.ascontiguousarray(array).tobytes(), digest_size=16).hexdigest()


def name_of(value: Any) -> str:
    """Return the name of a function, or of an object's class."""
    owner = value if isinstance(value, FunctionType) else type(value)
    return f"{owner.__module__}.{owner.__qualname__}"


def cells_of(function: FunctionType) -> dict[str, Any]:
    """Return the cells of a closure by the names of their variables."""
    return dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))


def _parts_of_function(function: FunctionType) -> dict[str, Any]:
    cells = {name: cell.cell_contents for name, cell in cells_of(function).items() if _is_filled(cell)}
    # A plain default is code; one that can be changed in place is state.
    plain = (type(None), bool, int, float, str)
    defaults = {f"={i}": v for i, v in enumerate(function.__defaults__ or ()) if type(v) not in plain}
    return {**cells, **defaults, **vars(function)}


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # a variable that has no value yet
        return False


def is_no_state(value: Any) -> bool:
    """Return whether a value is code, or a description that nothing changes: the next process has it again."""
    if isinstance(value, FunctionType):
        return not _parts_of_function(value) and value.__name__ not in OPS
    if isinstance(value, BuiltinFunctionType):
        return isinstance(getattr(value, "__self__", None), (ModuleType, type, type(None)))
    return (
        isinstance(value, (*_FIXED, *_LOCKS))
        or is_named(value, "logging", "Logger")
        or _is_output(value)
        or _is_definition(value)
    )


def _is_output(value: Any) -> bool:
    """Return whether a value is a file that is only written to, and so decides nothing."""
    return isinstance(value, io.IOBase) and not value.closed and value.writable() and not value.readable()


def _is_definition(value: Any) -> bool:
    tf = sys.modules.get("tensorflow")
    return tf is not None and isinstance(value, (tf.data.Dataset, tf.DType, tf.TensorSpec))


def is_named(value: Any, module: str, name: str) -> bool:
    """Return whether a value is an instance of a library's class of that name, without importing anything."""
    return any(c.__module__.partition(".")[0] == module and name in c.__qualname__ for c in type(value).__mro__)


def _is_written_in_python(cls: type) -> bool:
    root = cls.__module__.partition(".")[0]
    home = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return root == "__main__" or (root not in _CLOSED and str(home).endswith(".py"))


def _slots(cls: type) -> list[str]:
    slots = vars(cls).get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(slots)
    hidden = [f"_{cls.__name__.lstrip('_')}{n}" if n.startswith("__") and not n.endswith("__") else n for n in names]
    return [name for name in hidden if name not in ("__dict__", "__weakref__")]
