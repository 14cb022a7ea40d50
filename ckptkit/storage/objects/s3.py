"""Objects of S3, and of what speaks like it."""

import base64
import hashlib
import importlib.util
import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ckptkit.storage.objects import aws_settings
from ckptkit.storage.objects.clients import again, once, plain_http
from ckptkit.storage.objects.obstores import ObstoreRequests
from ckptkit.storage.objects.retrying import Patience
from ckptkit.storage.objects.service import Power
from ckptkit.storage.objects.signing import Answer, Keys, Signer

_USUAL = "us-east-1"


class S3Requests(ObstoreRequests):
    """Requests to one prefix of a bucket.

    Args:
        bucket: its name.
        prefix: of the keys, without ``/`` at its end.
        patience: how long a request may take.
    """

    powers: frozenset[Power] = frozenset({"create", "swap", "ranges", "checksums", "replace"})

    def __init__(self, bucket: str, prefix: str, patience: Patience) -> None:
        from obstore.store import S3Store

        self._settings = aws_settings.found()
        self._bucket, self._timeout = bucket, patience.timeout
        shared = {
            "region": self._settings.region or _USUAL,
            # each request, and each part of an upload, is refused where it arrives damaged
            "checksum_algorithm": "SHA256",
            **self._who(),
        }
        if self._settings.endpoint:
            shared["endpoint"] = self._settings.endpoint
        elif any(name in os.environ for name in aws_settings.ENDPOINTS):  # empty, which obstore takes for an address
            host = f"s3.{shared['region']}.amazonaws.com"
            shared["endpoint"] = f"https://{bucket}.{host}" if _by_host() else f"https://{host}"
        plain = plain_http(self._settings.endpoint, "AWS_ALLOW_HTTP")
        store = S3Store(bucket, **once(patience, plain=plain), **shared)
        patient = S3Store(bucket, **again(patience, plain=plain), **shared)
        super().__init__(store, patient, prefix, f"s3://{bucket}/{prefix}".rstrip("/"))

    def _who(self) -> dict[str, Any]:
        if (keys := self._settings.keys) is not None:
            token = {"session_token": keys.token} if keys.token else {}
            return {"access_key_id": keys.access, "secret_access_key": keys.secret, **token}
        if self._settings.session is not None:
            return {"credential_provider": self._provider()}
        return {}

    def _provider(self) -> Any:
        import boto3
        from obstore.auth.boto3 import Boto3CredentialProvider

        return Boto3CredentialProvider(boto3.Session(profile_name=self._settings.session))

    def _signer(self) -> Signer | None:
        """Return what signs requests that obstore has no call for, or None: the keys are not known here."""
        keys = self._settings.keys or self._keys_of_boto3()
        if keys is None:
            return None
        region = self._settings.region or _USUAL
        address = self._settings.endpoint.rstrip("/") or f"https://s3.{region}.amazonaws.com"
        if not _by_host():
            address = f"{address}/{self._bucket}"
        return Signer(address, region, keys, self._timeout)

    def _keys_of_boto3(self) -> Keys | None:
        """Return the keys of a session, a role or a machine, as boto3 finds them; None where it is not installed."""
        if importlib.util.find_spec("boto3") is None:
            return None
        try:
            told = self._provider()()
        except Exception:  # it has none; what obstore found may still do
            if self._settings.session is not None:
                raise
            return None
        return Keys(told["access_key_id"], told["secret_access_key"], told.get("token") or "")

    @property
    def unseen(self) -> str | None:
        """What is not found: unfinished uploads, where obstore found credentials that it does not hand out."""
        if self._settings.keys is not None or importlib.util.find_spec("boto3") is not None:
            return None
        return (
            "uploads in parts that were never finished are not found with the credentials of a role or a machine: "
            "`pip install boto3` finds them, or let a lifecycle rule of the bucket abort them"
        )

    def unfinished(self, prefix: str, older: float) -> list[str]:
        """Return uploads in parts that were never finished: the service keeps their parts, and wants money for them."""
        signer = self._signer()
        return [] if signer is None else list(self._unfinished(signer, prefix, older))

    def _unfinished(self, signer: Signer, prefix: str, older: float) -> Iterator[str]:
        marker: dict[str, str] = {}
        while True:
            answer = signer.send("GET", query={"uploads": "", "prefix": self._prefix + prefix, **marker})
            _require(answer)
            now = parsedate_to_datetime(answer.headers["date"]) if "date" in answer.headers else datetime.now(UTC)
            listed = _tree(answer.body)
            for upload in listed.iter("Upload"):
                begun = datetime.fromisoformat(upload.findtext("Initiated", ""))
                key = upload.findtext("Key", "")
                if (now - begun).total_seconds() >= older and key.startswith(self._prefix + prefix):
                    yield f"{upload.findtext('UploadId', '')} {key[len(self._prefix) :]}"
            if listed.findtext("IsTruncated") != "true":
                return
            marker = {
                "key-marker": listed.findtext("NextKeyMarker", ""),
                "upload-id-marker": listed.findtext("NextUploadIdMarker", ""),
            }

    def abort(self, upload: str) -> None:
        """Take back an unfinished upload."""
        number, _, key = upload.partition(" ")
        if (signer := self._signer()) is not None:
            answer = signer.send("DELETE", self._prefix + key, {"uploadId": number})
            if answer.status != 404:
                _require(answer)

    def refuses_damaged(self, key: str) -> bool | None:
        """Send what does not fit its checksum, of the kind that uploads have."""
        signer = self._signer()
        if signer is None:
            return None
        other = base64.b64encode(hashlib.sha256(b"whole").digest()).decode()
        return signer.send("PUT", self._prefix + key, body=b"damaged", checksum=other).status >= 400


def _require(answer: Answer) -> None:
    if answer.status >= 400:
        raise OSError(f"status code: {answer.status} {answer.body[:2000].decode(errors='replace')}")


def _tree(body: bytes) -> ET.Element:
    """Return what was answered, without the namespace that some services leave out."""
    tree = ET.fromstring(body)
    for element in tree.iter():
        element.tag = element.tag.rpartition("}")[2]
    return tree


def _by_host() -> bool:
    """Return whether requests name the bucket in the host rather than in the path."""
    return os.environ.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() in ("1", "true")
