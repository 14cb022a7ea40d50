"""Values of Keras variables: looked at where they lie, and copied into the memory of a save."""

from functools import partial
from typing import Any

from ckptkit.backend import SnapshotContext

_BLOCK = 4 << 20  # bytes: what one core copies before it takes the next


def values_of(thing: Any) -> Any:
    """Return the values of a variable, tensor or array, to be read before anything changes them.

    They are not copied where they lie in the host's memory and are of a type that DLPack knows.
    """
    import keras

    shared = _shared(thing)
    return keras.ops.convert_to_numpy(thing) if shared is None else shared


class Copies:
    """Copies of variables and arrays; of a variable, one.

    Args:
        context: of the snapshot.
    """

    def __init__(self, context: SnapshotContext) -> None:
        self._context = context
        self._made: dict[int, tuple[Any, Any]] = {}  # with the variable, so that its id stays its own

    def of(self, thing: Any) -> Any:
        """Return a copy of an array, tensor, number or variable; it is complete: what comes next may change them."""
        import keras

        if not isinstance(thing, keras.Variable):
            return self._copied(thing)
        if id(thing) not in self._made:
            self._made[id(thing)] = thing, self._copied(thing)
        return self.made(thing)

    def made(self, variable: Any) -> Any:
        """Return the copy of a variable that was made before."""
        return self._made[id(variable)][1]

    def _copied(self, thing: Any) -> Any:
        import keras
        import numpy as np

        source = _shared(thing)
        if source is None:
            return keras.ops.convert_to_numpy(thing)
        if not source.nbytes:
            return source.copy()
        target = np.ndarray(source.shape, source.dtype, self._context.memory(source.nbytes))
        if source.nbytes <= _BLOCK or not source.flags.c_contiguous:
            np.copyto(target, source)
            return target
        to, of = target.reshape(-1), source.reshape(-1)
        count = _BLOCK // of.itemsize
        starts = range(0, of.size, count)
        self._context.together([partial(np.copyto, to[i : i + count], of[i : i + count]) for i in starts])
        return target


def _shared(thing: Any) -> Any:
    """Return an array of the same memory, or None."""
    import keras
    import numpy as np

    try:
        tensor = thing.value if isinstance(thing, keras.Variable) else thing
        tensor = tensor.value() if hasattr(tensor, "read_value") else tensor  # TensorFlow's variables
        tensor = tensor.detach() if hasattr(tensor, "detach") else tensor  # torch's parameters
        if keras.backend.standardize_dtype(tensor.dtype) == "bfloat16":  # which DLPack knows, and NumPy does not
            return np.from_dlpack(keras.ops.view(tensor, "uint16")).view("bfloat16")
        return np.from_dlpack(tensor)
    except Exception:  # of whatever class: on a device, of a type that NumPy lacks, a number or list
        return None
