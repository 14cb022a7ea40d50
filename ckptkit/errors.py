"""All errors that ckptkit raises on purpose: one tree, each class with its exit code and a hint about what to do.

::

    CkptkitError                     70  base class; its own code means "a bug in ckptkit"
    ├── UsageError        (ValueError)    2  the call or the command line is wrong
    │   └── RunNameError                  2  not a usable run name
    ├── NotFoundError     (LookupError)   4  no such run, checkpoint, item or trash entry
    │   └── NothingResumableError         4  checkpoints may exist, but none that verifies
    ├── DamagedError      (ValueError)    1  content is not what it claims to be
    │   ├── ManifestError                 1  a manifest that cannot be read or breaks the format's laws
    │   └── NewerFormatError              1  written by a newer ckptkit or backend
    ├── RefusedError                      5  refused for safety
    │   ├── UnsafeContentError            5  loading it would run code, or a path leaves its folder
    │   ├── InconsistentSetError          5  the items do not agree on the step
    │   └── ProtectedError                5  the only good, or a pinned, checkpoint
    ├── ConflictError     (FileExistsError) 6  already committed, or changed under us
    ├── BackendError                      7  a backend failed, or refused the item
    │   ├── UnknownBackendError           7  no backend of that name, or none that recognises the item
    │   └── BackendUnavailableError       7  the backend is known, but its framework is not installed
    ├── StoreError        (OSError)      10  the store is missing, unreadable or cannot be written
    │   └── DiskFullError                10  not enough room; checkpoints are as they were
    ├── LockedError                      11  another process works on the run
    └── PartlyDoneError                   3  the main thing was done, but not all that goes with it

Exit codes 0 (ok) and 128+N (signal) are results, not errors. The table is in docs/reference/exit-codes.md.
"""

import errno
from typing import TYPE_CHECKING, Any, ClassVar

from ckptkit.renamed import new_name

OF_THE_DISK = {errno.EIO, errno.EROFS, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT}
"""What a disk, a network or a limit answers (``errno``): no backend can help it, and the content is not to blame."""


class CkptkitError(Exception):
    """Base of the tree.

    Args:
        message: one line that names the file or the name and the reason.
        hint: one line that says what to do; the class's own hint when left out.
        item: name of the item it is about. Whoever knows it sets it; at the latest the store, which called the backend.
    """

    exit_code: ClassVar[int] = 70
    default_hint: ClassVar[str] = "this is a bug in ckptkit; please report it with the output of --debug"

    def __init__(self, message: str, *, hint: str | None = None, item: str | None = None) -> None:
        super().__init__(message)
        self.reason = message
        self.hint = self.default_hint if hint is None else hint
        self.item = item

    @property
    def message(self) -> str:
        """The reason, after the name of the item it is about."""
        return self.reason if self.item is None else f"item {self.item!r}: {self.reason}"

    def __str__(self) -> str:
        return self.message


class UsageError(CkptkitError, ValueError):
    """The call or the command line is wrong."""

    exit_code = 2
    default_hint = "see --help"


class RunNameError(UsageError):
    """Not a usable run name."""

    default_hint = "use letters, digits, '.', '_' and '-', with '/' between parts, for example ppo/run1"


class NotFoundError(CkptkitError, LookupError):
    """No such run, checkpoint, item or trash entry."""

    exit_code = 4
    default_hint = "`ckptkit list` shows what is there"


class NothingResumableError(NotFoundError):
    """No checkpoint of the run verifies; an empty stdout and exit 4."""

    default_hint = "`ckptkit verify RUN` names every damaged file"


class DamagedError(CkptkitError, ValueError):
    """Content is not what it claims to be."""

    exit_code = 1
    default_hint = "`ckptkit verify` names every damaged file; resume from an older checkpoint"


class ManifestError(DamagedError):
    """A manifest that cannot be read or that breaks the laws of docs/reference/manifest.md."""

    default_hint = "restore this file from a copy, or remove the folder; other checkpoints are not affected"


class NewerFormatError(DamagedError):
    """Written by a newer ckptkit or backend than this one."""

    default_hint = "upgrade ckptkit (and the backend's package) to read it"


class RefusedError(CkptkitError):
    """Refused for safety."""

    exit_code = 5
    default_hint = "nothing was changed"


class UnsafeContentError(RefusedError):
    """Loading it would run code, or a path leaves its folder."""

    default_hint = "do not load this file unless you wrote it yourself"


class InconsistentSetError(RefusedError):
    """The items do not agree on the step or on a counter."""

    default_hint = (
        "save pieces of the same step together, or correct --step / --counter; a folder is at its newest checkpoint"
    )


class ProtectedError(RefusedError):
    """The only good, or a pinned, checkpoint."""


class ConflictError(CkptkitError, FileExistsError):
    """Already committed, in the way of what is to be saved, or changed under us."""

    exit_code = 6
    default_hint = "`ckptkit list` shows what is there now"


class BackendError(CkptkitError):
    """A backend failed, or refused the item."""

    exit_code = 7
    default_hint = "`ckptkit backends` shows what each backend needs"


class UnknownBackendError(BackendError):
    """No backend of that name, or none that recognises the item."""


class BackendUnavailableError(BackendError):
    """The backend is known, but its framework is not installed."""


class StoreError(CkptkitError, OSError):
    """The store is missing, unreadable or cannot be written."""

    exit_code = 10
    default_hint = "check --store, CKPTKIT_STORE or ckptkit.yaml, and the permissions of the folder"


class DiskFullError(StoreError):
    """Not enough room; checkpoints are as they were."""

    default_hint = "free some space (`ckptkit prune` shows a plan) or choose another --store"


class LockedError(CkptkitError):
    """Another process works on the run."""

    exit_code = 11
    default_hint = "wait for the other ckptkit to finish; the lock ends with its process"


class PartlyDoneError(CkptkitError):
    """The main thing was done, but not all that goes with it: the message names both.

    Attributes:
        committed: the checkpoint that was saved.
    """

    exit_code = 3
    default_hint = "`ckptkit show` shows what is there"
    committed: Any = None


if TYPE_CHECKING:
    NotFound = NotFoundError
    NothingResumable = NothingResumableError
    PartlyDone = PartlyDoneError
else:
    _RENAMED = {
        "NotFound": "NotFoundError",
        "NothingResumable": "NothingResumableError",
        "PartlyDone": "PartlyDoneError",
    }

    def __getattr__(name: str) -> type[CkptkitError]:
        return globals()[new_name(__name__, name, _RENAMED)]
