"""From what people write after ``--store`` to a storage."""

from pathlib import Path

from ckptkit.errors import StoreError
from ckptkit.scratch import redirected
from ckptkit.storage.interface import Storage
from ckptkit.storage.local import LocalStorage


def open_storage(url: str | Path) -> Storage:
    """Return the storage at a path or a ``file://`` URL. Nothing is read or created yet.

    In a rehearsal the scratch copy is opened in place of the real store.

    Raises:
        StoreError: a kind of store that this version does not know, or an impossible path.
    """
    text = str(url)
    if not text or "\0" in text:
        raise StoreError(f"store {text!r}: is not a path")
    if "://" not in text:
        try:
            return LocalStorage(redirected(Path(text).expanduser()))
        except RuntimeError as error:
            raise StoreError(f"store {text!r}: there is no such home folder", hint="write the path out") from error
    # fsspec takes a tenth of a second to import: only URLs pay for it.
    import fsspec.core
    from fsspec.implementations.local import LocalFileSystem

    protocol, _ = fsspec.core.split_protocol(text)
    if protocol in LocalFileSystem.protocol:
        return LocalStorage(redirected(Path(str(LocalFileSystem._strip_protocol(text)))))
    known = protocol in fsspec.available_protocols()
    reason = "object stores are not supported by this version" if known else "is not a kind of store that is known"
    raise StoreError(f"store {protocol}://…: {reason}", hint="use a folder, and copy it with your cloud's own tool")
