"""Read the manifests of a store, and say what is wrong with those that cannot be read."""

from ckptkit.catalog import manifest_files
from ckptkit.errors import CkptkitError, ManifestError, NewerFormatError, RefusedError, StoreError
from ckptkit.manifest import reading
from ckptkit.manifest.models import Manifest
from ckptkit.problem import Problem
from ckptkit.storage import Entry
from ckptkit.storage.remote import SupportsStats


def read(at: Entry) -> tuple[Manifest | None, Problem | None]:
    """Return the manifest of a checkpoint, or the problem that keeps it from being read."""
    manifest, problems = examine(at)
    return manifest, next((p for p in problems if p.severity != "warning"), None)


def examine(at: Entry) -> tuple[Manifest | None, list[Problem]]:
    """Return the same with all problems: one that keeps it from being read or is a fault of it, and warnings."""
    file = at.manifest_file
    try:
        manifest, masked = reading.examine(manifest_files.read_bytes(at))
    except RefusedError as error:
        return None, [Problem("path-unsafe", error.message, file, severity="unsafe")]
    except NewerFormatError as error:
        return None, [Problem("manifest-newer", error.message, file)]
    except CkptkitError as error:
        if isinstance(at.storage, SupportsStats) and StoreError in (type(error), type(error.__cause__)):
            return None, [Problem("file-unreadable", error.message, file)]  # the service failed, and may have it whole
        missing = isinstance(error.__cause__, FileNotFoundError)
        return None, [Problem("manifest-missing" if missing else "manifest-unreadable", error.message, file)]
    problems = []
    if at.step != manifest.step:
        message = f"says step {manifest.step}, but its name {at.name!r} says {at.step}"
        problems.append(Problem("manifest-step-mismatch", message, file))
    if masked:  # no writer of today lets it in
        message = "holds what looks like a secret, masked where it is shown: save again, and remove this one"
        problems.append(Problem("manifest-secret", message, file, severity="warning"))
    return manifest, problems


def require(at: Entry) -> Manifest:
    """Return the manifest of a checkpoint; raises ManifestError where it cannot be read."""
    manifest, problem = read(at)
    if manifest is None:
        raise ManifestError(f"{at.ref}: {at.manifest_file}: {problem.message if problem else 'unreadable'}")
    return manifest
