"""Imports the frameworks of this backend when they are really needed, with a clear error when one is not installed."""

import importlib
from typing import Any

from ckptkit.errors import BackendUnavailableError


def need(name: str) -> Any:
    """Return the imported module.

    Args:
        name: ``torch``, ``numpy``, ``safetensors.torch`` or ``safetensors.numpy``.

    Raises:
        BackendUnavailableError: it is not installed, or fails to import.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BackendUnavailableError(
            f"the safetensors backend needs {name.partition('.')[0]}, which cannot be imported ({error})",
            hint="install this project with its `safetensors` extra",
        ) from error
