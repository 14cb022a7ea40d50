"""Objects of Azure's Blob Storage."""

import base64
import os
from typing import Any

from ckptkit.errors import StoreError
from ckptkit.storage.objects.clients import again, once, plain_http
from ckptkit.storage.objects.endpoints import require_endpoint
from ckptkit.storage.objects.obstores import ObstoreRequests
from ckptkit.storage.objects.retrying import Patience
from ckptkit.storage.objects.service import Power

_ACCOUNT = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
_ENDPOINTS = ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
_STRING = "AZURE_STORAGE_CONNECTION_STRING"


class AzureRequests(ObstoreRequests):
    """Requests to one prefix of a container; parts of an upload that was not finished are dropped by it after a week.

    Args:
        container: its name.
        prefix: of the keys, without ``/`` at its end.
        account: its name; empty: that of the environment.
        patience: how long a request may take.
    """

    powers: frozenset[Power] = frozenset({"create", "swap", "ranges", "replace"})

    def __init__(self, container: str, prefix: str, account: str, patience: Patience) -> None:
        from obstore.store import AzureStore

        shared = _settings(account)
        plain = plain_http(str(shared.get("endpoint", "")), "AZURE_ALLOW_HTTP")
        store = AzureStore(container, **once(patience, plain=plain), **shared)
        patient = AzureStore(container, **again(patience, plain=plain), **shared)
        place = f"abfss://{container}@{account}.dfs.core.windows.net" if account else f"az://{container}"
        super().__init__(store, patient, prefix, f"{place}/{prefix}".rstrip("/"))


def _settings(account: str) -> dict[str, Any]:
    """Return who asks, and where; what is not said here, obstore reads from ``AZURE_*`` by itself."""
    string = dict(part.split("=", 1) for part in os.environ.get(_STRING, "").split(";") if "=" in part)
    name = account or next((os.environ[one] for one in _ACCOUNT if os.environ.get(one)), string.get("AccountName", ""))
    if not name:
        raise StoreError(
            "az://…: the storage account is not named",
            hint="set AZURE_STORAGE_ACCOUNT_NAME, or write abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX",
        )
    settings: dict[str, Any] = {"account_name": name}
    key = os.environ.get("AZURE_STORAGE_ACCOUNT_KEY") or os.environ.get("AZURE_STORAGE_KEY") or string.get("AccountKey")
    if key:
        settings["account_key"] = _require_key(key)
    if signature := os.environ.get("AZURE_STORAGE_SAS_TOKEN") or string.get("SharedAccessSignature"):
        settings["sas_token"] = signature
    own = require_endpoint(f"BlobEndpoint of {_STRING}", string.get("BlobEndpoint", ""))
    named = next((require_endpoint(one, os.environ[one]) for one in _ENDPOINTS if os.environ.get(one)), own)
    if not named and any(one in os.environ for one in _ENDPOINTS):  # empty, which obstore takes for an address
        named = f"https://{name}.blob.core.windows.net"
    if named:
        settings["endpoint"] = named
    return settings


def _require_key(key: str) -> str:
    try:
        base64.b64decode(key, validate=True)
    except ValueError:
        told = "az://…: the key of the storage account is not base64"
        raise StoreError(told, hint="copy AZURE_STORAGE_ACCOUNT_KEY again, all of it") from None
    return key
