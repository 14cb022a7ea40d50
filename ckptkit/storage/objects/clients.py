"""How obstore's clients are set: each request bounded in time, and plain HTTP only where nobody listens in."""

import os
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from ckptkit.storage.objects.retrying import Patience

_CONNECT = 10.0  # seconds
_LONGER = 3  # times longer may take what sends a part of an upload
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def once(patience: Patience, *, plain: bool) -> dict[str, Any]:
    """Return the settings of a client that tries nothing again."""
    return {"client_options": _options(patience.timeout, plain), "retry_config": {"max_retries": 0}}


def again(patience: Patience, *, plain: bool) -> dict[str, Any]:
    """Return the settings of a client that tries again by itself."""
    retries = {
        "max_retries": patience.attempts - 1,
        "retry_timeout": timedelta(seconds=patience.enough),
        "backoff": {
            "base": 2,
            "init_backoff": timedelta(seconds=patience.pause),
            "max_backoff": timedelta(seconds=patience.longest),
        },
    }
    return {"client_options": _options(_LONGER * patience.timeout, plain), "retry_config": retries}


def _options(timeout: float, plain: bool) -> dict[str, Any]:
    connect = timedelta(seconds=min(_CONNECT, timeout))
    return {"timeout": timedelta(seconds=timeout), "connect_timeout": connect, "allow_http": plain}


def plain_http(endpoint: str, allowing: str) -> bool:
    """Return whether an endpoint may be asked without TLS: on this machine, or where a variable allows it.

    Args:
        endpoint: a URL; empty: the service's own.
        allowing: name of the variable.
    """
    if os.environ.get(allowing, "").lower() in ("1", "true", "yes"):
        return True
    return endpoint.startswith("http://") and urlsplit(endpoint).hostname in _LOOPBACK
