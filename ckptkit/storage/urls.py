"""From what people write after ``--store`` to a storage."""

import os
import re
from pathlib import Path

from ckptkit.errors import StoreError, UsageError
from ckptkit.manifest.redaction import redact_text
from ckptkit.scratch import redirected, redirected_url
from ckptkit.storage.interface import Storage
from ckptkit.storage.local import LocalStorage
from ckptkit.storage.mistyped import require_no_url

_FOLDERS = ("file", "local")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def is_elsewhere(url: str) -> bool:
    """Return whether it is the URL of a store that is no folder of this machine; nothing is asked."""
    scheme, separator, _ = url.partition("://")
    return bool(separator) and scheme not in _FOLDERS and not os.path.isdir(f"{scheme}:")


def open_storage(url: str | Path) -> Storage:
    """Return the storage at a path or a URL. Nothing is read or created yet.

    In a rehearsal the scratch copy is opened in place of the real store.

    Raises:
        StoreError: a kind of store that is not known, or not installed, or an impossible path.
        UsageError: it was to be a URL, and is none.
    """
    text = str(url)
    if not text or "\0" in text:
        raise StoreError(f"store {text!r}: is not a path")
    scheme, separator, _ = text.partition("://")
    if separator:
        _require_printable(text)
    else:
        require_no_url(text, given=isinstance(url, Path))
        try:
            return LocalStorage(redirected(Path(text).expanduser()))
        except RuntimeError as error:
            raise StoreError(f"store {text!r}: there is no such home folder", hint="write the path out") from error
    if scheme in _FOLDERS:
        # fsspec takes a tenth of a second to import: only URLs pay for it.
        from fsspec.implementations.local import LocalFileSystem

        return LocalStorage(redirected(Path(str(LocalFileSystem._strip_protocol(text)))))
    from ckptkit.storage.objects.object_storage import ObjectStorage
    from ckptkit.storage.objects.opening import open_objects

    storage = ObjectStorage(open_objects(text), outlives=scheme != "memory")
    scratch = redirected_url(storage.url)
    return storage if scratch is None else LocalStorage(scratch)


def _require_printable(url: str) -> None:
    if _CONTROL.search(url):
        told = f"store {url!r}: a URL has no newlines, tabs or other control characters"
        raise UsageError(redact_text(told), hint="write the URL without them; in a name, %09 is a tab")
