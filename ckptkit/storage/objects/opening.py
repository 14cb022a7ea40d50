"""From a URL to ``Objects``: what a service needs is imported only where one is named."""

import importlib
from collections.abc import Callable
from typing import NoReturn
from urllib.parse import SplitResult, unquote, urlsplit

from ckptkit.errors import StoreError, UsageError
from ckptkit.storage.objects.requests import Requests
from ckptkit.storage.objects.retrying import PATIENT, Patience
from ckptkit.storage.objects.service import Objects
from ckptkit.storage.objects.steady import SteadyObjects
from ckptkit.storage.objects.trouble import understood

Open = Callable[[SplitResult, Patience], Requests]


def open_objects(url: str, patience: Patience = PATIENT) -> Objects:
    """Return the object service at a URL, at its prefix. Nothing is asked of it yet.

    Args:
        url: ``s3://BUCKET/PREFIX``, ``gs://``, ``az://CONTAINER/PREFIX``,
            ``abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX``, ``sftp://USER@HOST:PORT/FOLDER``,
            ``memory://PREFIX``, or what a file system of fsspec opens. Who asks is told by the environment.
        patience: how long and how often a request is tried.

    Raises:
        StoreError: a kind that is not known, or not installed, or settings that make no sense.
    """
    parts = _split(url)
    if parts.scheme in _SERVICES:
        _require_plain(parts)
    opened = _SERVICES.get(parts.scheme, _by_fsspec)
    try:
        return SteadyObjects(opened(parts, patience), patience)
    except (StoreError, UsageError):
        raise
    except ImportError as error:
        told = _missing(parts.scheme, error)
    except Exception as error:
        told = understood(error).error(f"{parts.scheme}://…")
    raise told


def _split(url: str) -> SplitResult:
    """Return the parts of a URL; those of which a library would say that they make no sense are refused here."""
    scheme = url.partition(":")[0]
    try:
        parts = urlsplit(url)
        _ = parts.port if parts.scheme in ("sftp", "ssh") else None
    except ValueError:
        told = f"store {scheme}://…: its host or port makes no sense"
        form = "sftp://USER@HOST:PORT/FOLDER" if scheme in ("sftp", "ssh") else f"{scheme}://BUCKET/PREFIX"
        raise StoreError(told, hint=f"write {form}; a port is a number up to 65535") from None
    inner = unquote(parts.path).strip("/").split("/")
    if parts.scheme in _SERVICES and any(part in (".", "..") for part in inner):
        raise StoreError(f"store {scheme}://…: has . or .. as a part of its prefix", hint="write the prefix out")
    return parts


def is_service(scheme: str) -> bool:
    """Return whether URLs of this scheme are opened here rather than by fsspec."""
    return scheme in _SERVICES


def _require_plain(parts: SplitResult) -> None:
    if parts.query or parts.fragment:
        raise StoreError(
            f"store {parts.scheme}://…: has a part after ? or #, which would be seen wherever the store is named",
            hint="settings are named in the environment; in a name, %3F is ? and %23 is #",
        )


def _missing(scheme: str, error: ImportError) -> StoreError:
    extra, package = _EXTRAS.get(scheme, ("", ""))
    hint = f"pip install 'ckptkit[{extra}]'" if extra else "install the package that fsspec names"
    what = package or str(error).splitlines()[0]
    return StoreError(f"store {scheme}://…: takes {what}, which is not installed", hint=hint)


def _place(parts: SplitResult, what: str) -> tuple[str, str]:
    """Return bucket and prefix; who asks is told by the environment alone, where nobody sees it."""
    scheme = parts.scheme
    if not parts.netloc:
        raise StoreError(f"store {scheme}://…: names no {what}", hint=f"write {scheme}://{what.upper()}/PREFIX")
    if parts.password is not None or (parts.username is not None and what == "bucket"):
        told = f"store {scheme}://…: holds credentials, which would be seen wherever the store is named"
        raise StoreError(told, hint="name them in the environment, and write the URL without them")
    return parts.netloc, unquote(parts.path).strip("/")


def _s3(parts: SplitResult, patience: Patience) -> Requests:
    from ckptkit.storage.objects.s3 import S3Requests

    return S3Requests(*_place(parts, "bucket"), patience)


def _gcs(parts: SplitResult, patience: Patience) -> Requests:
    from ckptkit.storage.objects.gcs import GcsRequests

    return GcsRequests(*_place(parts, "bucket"), patience.timeout)


def _azure(parts: SplitResult, patience: Patience) -> Requests:
    from ckptkit.storage.objects.azure import AzureRequests

    place, prefix = _place(parts, "container")
    container, _, host = place.partition("@")
    return AzureRequests(container, prefix, host.partition(".")[0], patience)


def _sftp(parts: SplitResult, patience: Patience) -> Requests:
    importlib.import_module("paramiko")
    from ckptkit.storage.objects.sftp import SftpRequests
    from ckptkit.storage.objects.ssh import Address, Channels

    if not parts.hostname:
        raise StoreError("store sftp://…: names no host", hint="write sftp://USER@HOST/FOLDER")
    address = Address(parts.hostname, parts.port, parts.username, parts.password and unquote(parts.password))
    user = f"{parts.username}@" if parts.username else ""
    port = f":{parts.port}" if parts.port else ""
    root = unquote(parts.path).rstrip("/")
    url = f"sftp://{user}{parts.hostname}{port}{root}"
    return SftpRequests(Channels(address, patience.timeout), root, url)


def _memory(parts: SplitResult, patience: Patience) -> Requests:
    from ckptkit.storage.objects.memory import MemoryRequests

    path = f"{parts.netloc}{unquote(parts.path)}".strip("/")
    return MemoryRequests(f"/{path}" if path else "")


def _by_fsspec(parts: SplitResult, patience: Patience) -> Requests:
    if parts.scheme in ("http", "https"):  # fsspec reads from them, and nothing can be saved there
        told = f"store {parts.scheme}://…: is the address of a server, and not of a store"
        raise StoreError(told, hint="write s3://BUCKET/PREFIX, and name the server with AWS_ENDPOINT_URL")
    import fsspec

    from ckptkit.storage.objects.filesystem import FilesystemRequests

    if parts.scheme not in fsspec.available_protocols():
        _unknown(parts.scheme)
    kind = fsspec.get_filesystem_class(parts.scheme)
    settings = kind._get_kwargs_from_urls(parts.geturl())
    system = kind(**settings, use_listings_cache=False, skip_instance_cache=True)
    open_ = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
    return FilesystemRequests(system, str(kind._strip_protocol(parts.geturl())).rstrip("/"), open_.geturl().rstrip("/"))


def _unknown(scheme: str) -> NoReturn:
    raise StoreError(f"store {scheme}://…: is not a kind of store that is known", hint=f"one of {', '.join(_SERVICES)}")


_SERVICES: dict[str, Open] = {
    "s3": _s3, "s3a": _s3, "gs": _gcs, "gcs": _gcs, "az": _azure, "azure": _azure, "abfs": _azure, "abfss": _azure,
    "sftp": _sftp, "ssh": _sftp, "memory": _memory,
}  # fmt: skip
_EXTRAS = {
    **dict.fromkeys(("s3", "s3a"), ("s3", "obstore")),
    **dict.fromkeys(("az", "azure", "abfs", "abfss"), ("azure", "obstore")),
    **dict.fromkeys(("gs", "gcs"), ("gcs", "gcsfs")),
    **dict.fromkeys(("sftp", "ssh"), ("sftp", "paramiko")),
}
