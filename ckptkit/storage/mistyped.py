"""A URL with a slip in it, which would be taken for a folder of this machine."""

import os
import re

from ckptkit.errors import UsageError
from ckptkit.manifest.redaction import redact_text

_NEARLY = re.compile(
    r"(s3a?|gcs|gs|azure|az|abfss?|sftp|ssh|memory|file|local|https?)(:/*|/{2,})(?!/)(.*)", re.IGNORECASE | re.DOTALL
)


def require_no_url(path: str, *, given: bool = False) -> None:
    """Raise UsageError for a URL with a slip in it, which would be a folder here.

    Args:
        path: what was written.
        given: it was a ``Path``, which cannot begin with ``./``: a folder that is there is meant.
    """
    if (found := _NEARLY.match(path)) is None:
        return
    scheme, between, rest = found.groups()
    folder = f"{scheme}:" if between[0] == ":" else scheme
    if (given or folder == scheme) and os.path.isdir(folder):
        return
    slash = "/" if scheme.lower() in ("file", "local") and not rest.startswith("/") else ""
    if any(mark in rest for mark in "@?#"):  # it may hold a secret, wherever that begins
        rest = "…"
    told = f"{scheme}{between}{rest}"
    raise UsageError(
        redact_text(f"store {told!r}: is no URL, and would be a folder of this machine"),
        hint=redact_text(f"write {scheme.lower()}://{slash}{rest} if it is a URL, ./{told} if it is a folder"),
    )
