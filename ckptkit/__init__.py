"""ckptkit: save, list, verify, prune and resume training state of any framework as one verified checkpoint.

Importing it imports no framework, and little else: what is not an error is looked up when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ckptkit.errors import (
    BackendError,
    BackendUnavailableError,
    CkptkitError,
    ConflictError,
    DamagedError,
    DiskFullError,
    InconsistentSetError,
    LockedError,
    ManifestError,
    NewerFormatError,
    NotFoundError,
    NothingResumableError,
    PartlyDoneError,
    ProtectedError,
    RefusedError,
    RunNameError,
    StoreError,
    UnknownBackendError,
    UnsafeContentError,
    UsageError,
)

if TYPE_CHECKING:
    from ckptkit.retention import Retain, RetentionPolicy
    from ckptkit.schedule import Schedule
    from ckptkit.scratch import rehearsing
    from ckptkit.store import (
        CheckpointStore,
        Committed,
        Details,
        Files,
        Ranking,
        Ref,
        Restored,
        SaveHandle,
        StoreReader,
    )

_HOMES = {
    "Retain": "retention",
    "RetentionPolicy": "retention",
    "Schedule": "schedule",
    "rehearsing": "scratch",
    "CheckpointStore": "store",
    "Committed": "store",
    "Details": "store",
    "Files": "store",
    "Ranking": "store",
    "Ref": "store",
    "Restored": "store",
    "SaveHandle": "store",
    "StoreReader": "store",
}
__all__ = [
    "BackendError",
    "BackendUnavailableError",
    "CheckpointStore",
    "CkptkitError",
    "Committed",
    "ConflictError",
    "DamagedError",
    "Details",
    "DiskFullError",
    "Files",
    "InconsistentSetError",
    "LockedError",
    "ManifestError",
    "NewerFormatError",
    "NotFoundError",
    "NothingResumableError",
    "PartlyDoneError",
    "ProtectedError",
    "Ranking",
    "Ref",
    "RefusedError",
    "Restored",
    "Retain",
    "RetentionPolicy",
    "RunNameError",
    "SaveHandle",
    "Schedule",
    "StoreError",
    "StoreReader",
    "UnknownBackendError",
    "UnsafeContentError",
    "UsageError",
    "__version__",
    "rehearsing",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Lazy, so that `import ckptkit.errors` in a plugin or a light command does not pay for the whole store.
    if name not in _HOMES:
        raise AttributeError(f"module 'ckptkit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ckptkit.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
