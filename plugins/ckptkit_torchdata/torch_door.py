"""Imports torch when it is really needed, and tells a DataLoader from other objects without importing anything."""

import ctypes
import importlib
from typing import Any

from ckptkit.errors import BackendUnavailableError


def torch() -> Any:
    """Return the imported module. Raises BackendUnavailableError where it is not installed."""
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise BackendUnavailableError(
            f"the torch-data backend needs torch, which cannot be imported ({error})",
            hint="install this project with its `torch-data` extra",
        ) from error


def is_data_loader(item: object) -> bool:
    """Return whether the object is a ``torch.utils.data.DataLoader``, of a subclass too."""
    return any(
        cls.__name__ == "DataLoader" and cls.__module__.startswith("torch.utils.data") for cls in type(item).__mro__
    )


def is_stateful(loader: object) -> bool:
    """Return whether the object is a ``StatefulDataLoader`` of torchdata."""
    return any(
        cls.__name__ == "StatefulDataLoader" and cls.__module__.startswith("torchdata.") for cls in type(loader).__mro__
    )


def is_torchs_own(part: object) -> bool:
    """Return whether a sampler is of torch's or torchdata's own classes, whose habits are known."""
    module = type(part).__module__
    return module.startswith(("torch.utils.data", "torchdata."))


def raw_bytes(tensor: Any) -> bytes:
    """Return the bytes of a strided tensor; not by way of NumPy, which has no bfloat16 and may be missing."""
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    return ctypes.string_at(plain.data_ptr(), plain.nbytes) if plain.nbytes else b""
