"""The files of manifests: their bytes, and the few fields that a listing shows.

Without pydantic, which takes longer to import than a listing takes; whole manifests are the matter of ``manifests``.
"""

from ckptkit.errors import CkptkitError, DamagedError, ManifestError
from ckptkit.manifest.limits import MAX_BYTES
from ckptkit.manifest.summary import Summary, summarise
from ckptkit.storage import Entry


def read_bytes(at: Entry) -> bytes:
    """Return the bytes of a manifest file.

    Raises:
        ManifestError: it is missing, not a regular file, or absurdly large.
        StoreError: it cannot be read.
    """
    try:
        data = at.storage.read(at, at.manifest_file, MAX_BYTES)
    except FileNotFoundError as error:
        raise ManifestError(
            "has no manifest: the checkpoint is incomplete",
            hint="it is never resumed from and fills no slot; remove the folder when nothing writes to it",
        ) from error
    except DamagedError as error:
        raise ManifestError("manifest is not a regular file") from error
    if len(data) > MAX_BYTES:
        raise ManifestError(f"manifest is longer than {MAX_BYTES} bytes, which are the most that is read")
    return data


def is_missing(at: Entry) -> bool:
    """Return whether there is no manifest: the checkpoint is incomplete, or gone."""
    try:
        at.storage.stat(at, at.manifest_file)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # something is there that may not be looked at
        return False
    return False


def summary(at: Entry) -> Summary:
    """Return the few fields that a listing shows, unchecked; raises as ``read_bytes``, and ManifestError."""
    return summarise(read_bytes(at))


def size(at: Entry) -> int:
    """Return how many bytes a checkpoint says it has; none where its manifest cannot be read: none are digested."""
    try:
        return summary(at).size
    except CkptkitError:
        return 0
