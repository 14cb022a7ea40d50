"""Names that were changed: the old ones work for one more version, with a warning."""

import warnings
from collections.abc import Mapping


def new_name(module: str, name: str, renamed: Mapping[str, str]) -> str:
    """Return what a name of a module is called now; the warning points at whoever asked the module for the old one.

    Args:
        module: whose ``__getattr__`` calls this.
        name: what it was asked for.
        renamed: the new names by the old ones.

    Raises:
        AttributeError: it is no old name.
    """
    if name not in renamed:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    warn(f"{module}.{name}", renamed[name], depth=2)
    return renamed[name]


def warn(old: str, new: str, *, depth: int = 1) -> None:
    """Warn that a name was changed, at the line ``depth`` calls above the one that calls this."""
    message = f"{old} is now {new}; the old name goes with the next version"
    warnings.warn(message, DeprecationWarning, stacklevel=depth + 2)
