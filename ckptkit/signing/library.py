"""The cryptography library, imported where a key is read and not before."""

import importlib
from typing import Any

from ckptkit.errors import BackendUnavailableError


def cryptography(module: str) -> Any:
    """Return one of its modules, for example ``hazmat.primitives.serialization``.

    Raises:
        BackendUnavailableError: it is not installed.
    """
    try:
        return importlib.import_module(f"cryptography.{module}")
    except ImportError as error:
        from ckptkit import installation  # it asks Python what is installed, which takes long to import

        raise BackendUnavailableError(
            f"signatures need cryptography, which cannot be imported ({error})", hint=installation.remedy("sign")
        ) from error
