"""From what people write after ``--store`` to a storage."""

import os
from pathlib import Path

from ckptkit.errors import StoreError
from ckptkit.scratch import redirected, redirected_url
from ckptkit.storage.interface import Storage
from ckptkit.storage.local import LocalStorage

_FOLDERS = ("file", "local")


def is_elsewhere(url: str) -> bool:
    """Return whether it is the URL of a store that is no folder of this machine; nothing is asked."""
    scheme, separator, _ = url.partition("://")
    return bool(separator) and scheme not in _FOLDERS and not os.path.isdir(f"{scheme}:")


def open_storage(url: str | Path) -> Storage:
    """Return the storage at a path or a URL. Nothing is read or created yet.

    In a rehearsal the scratch copy is opened in place of the real store.

    Raises:
        StoreError: a kind of store that is not known, or not installed, or an impossible path.
    """
    text = str(url)
    if not text or "\0" in text:
        raise StoreError(f"store {text!r}: is not a path")
    scheme, separator, _ = text.partition("://")
    if not separator:
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
