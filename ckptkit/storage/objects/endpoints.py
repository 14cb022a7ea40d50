"""Whether what a variable names is the address of a server: obstore panics at some that are not."""

import re
from urllib.parse import urlsplit

from ckptkit.errors import StoreError

_ODD = re.compile(r"[\s\x00-\x1f\x7f]")


def require_endpoint(name: str, address: str) -> str:
    """Return an address as it was given.

    Args:
        name: what it was read from, to name it in an error; the address itself may hold a password.
        address: a URL; empty: none is set.

    Raises:
        StoreError: it is no URL of an HTTP server.
    """
    if address and not _is_address(address):
        raise StoreError(f"{name}: is not the address of a server", hint=f"{name}: write http://HOST:PORT")
    return address


def _is_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0 and not _ODD.search(address)
