"""How obstore's clients are set: each request bounded in time, and plain HTTP only where nobody listens in."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from ckptkit.storage.objects.retrying import Patience

_CONNECT = timedelta(seconds=10)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def client_options(endpoint: str, allowing: str) -> Callable[[float], dict[str, Any]]:
    """Return what makes the options of a client for a time that one request may take, in seconds.

    Args:
        endpoint: a URL; empty: the service's own.
        allowing: name of the variable that allows plain HTTP to other machines.
    """
    allowed = os.environ.get(allowing, "").lower() in ("1", "true", "yes")
    plain = allowed or (endpoint.startswith("http://") and urlsplit(endpoint).hostname in _LOOPBACK)

    def options(timeout: float) -> dict[str, Any]:
        return {"timeout": timedelta(seconds=timeout), "connect_timeout": min(_CONNECT, timedelta(seconds=timeout)),
                "allow_http": plain}  # fmt: skip

    return options


def retries(patience: Patience | None) -> dict[str, Any]:
    """Return how often obstore itself tries again; None: never."""
    if patience is None:
        return {"max_retries": 0}
    return {
        "max_retries": patience.attempts - 1,
        "retry_timeout": timedelta(seconds=patience.enough),
        "backoff": {
            "base": 2,
            "init_backoff": timedelta(seconds=patience.pause),
            "max_backoff": timedelta(seconds=patience.longest),
        },
    }
