"""Imports a library where it is needed and not before, and says how to install it where it is missing."""

import importlib
from typing import Any

from ckptkit.errors import BackendUnavailableError


def lazy_import(name: str, *, backend: str, extra: str | None = None) -> Any:
    """Return an imported module.

    Args:
        name: of the module, for example ``safetensors.torch``.
        backend: one of ckptkit's own, which needs it.
        extra: of ckptkit that brings it, where it has another name than the backend.

    Raises:
        BackendUnavailableError: the module cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        from ckptkit import installation  # it asks Python what is installed, which takes long to import

        raise BackendUnavailableError(
            f"the {backend} backend needs {name.partition('.')[0]}, which cannot be imported ({error})",
            hint=installation.remedy(extra or backend),
        ) from error
