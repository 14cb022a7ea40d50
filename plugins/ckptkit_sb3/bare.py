"""Objects without attributes, for those that a fresh target does not have yet."""

from typing import Any

from ckptkit_sb3.encoding import is_plain_object
from ckptkit_sb3.standard import is_slotted


def bare(kind: type | None) -> Any:
    """Return an object without attributes, made without its constructor; None where that is not all of it.

    A class with a finalizer is none: what it would do is decided by attributes, which come from a file.
    """
    if kind is None or hasattr(kind, "__del__"):
        return None
    try:
        made: Any = object.__new__(kind)
    except TypeError:  # abstract, or built on C
        return None
    return made if is_plain_object(made) or is_slotted(made) else None
