"""Imports torch where it is needed."""

from typing import Any

from ckptkit.lazy_import import lazy_import


def torch() -> Any:
    """Return the imported module. Raises BackendUnavailableError where it cannot be imported."""
    return lazy_import("torch", backend="torch-data")
