"""Read the manifests of a store, and say what is wrong with those that cannot be read."""

from collections.abc import Iterator

from ckptkit.catalog import manifest_files
from ckptkit.errors import CkptkitError, ManifestError, NewerFormatError, RefusedError
from ckptkit.manifest.models import Manifest
from ckptkit.manifest.reading import holds_secrets, parse
from ckptkit.problem import Problem
from ckptkit.storage import Entry


def read(at: Entry) -> tuple[Manifest | None, Problem | None]:
    """Return the manifest of a checkpoint, or the problem that keeps it from being read."""
    manifest, problem, _ = examine(at)
    return manifest, problem


def examine(at: Entry) -> tuple[Manifest | None, Problem | None, bytes]:
    """Return the same, and the file's bytes, which are read once."""
    file, data = at.manifest_file, b""
    try:
        data = manifest_files.read_bytes(at)
        manifest = parse(data)
    except RefusedError as error:
        return None, Problem("path-unsafe", error.message, file, severity="unsafe"), data
    except NewerFormatError as error:
        return None, Problem("manifest-newer", error.message, file), data
    except CkptkitError as error:
        missing = isinstance(error.__cause__, FileNotFoundError)
        return None, Problem("manifest-missing" if missing else "manifest-unreadable", error.message, file), data
    if at.step != manifest.step:
        message = f"says step {manifest.step}, but its name {at.name!r} says {at.step}"
        return manifest, Problem("manifest-step-mismatch", message, file), data
    return manifest, None, data


def require(at: Entry) -> Manifest:
    """Return the manifest of a checkpoint; raises ManifestError where it cannot be read."""
    manifest, problem = read(at)
    if manifest is None:
        raise ManifestError(f"{at.ref}: {at.manifest_file}: {problem.message if problem else 'unreadable'}")
    return manifest


def secret_problems(at: Entry, data: bytes) -> Iterator[Problem]:
    """Yield a warning for a manifest that holds what looks like a secret, which no writer of today lets in."""
    if holds_secrets(data):
        message = "holds what looks like a secret, masked where it is shown: save again, and remove this one"
        yield Problem("manifest-secret", message, at.manifest_file, severity="warning")
