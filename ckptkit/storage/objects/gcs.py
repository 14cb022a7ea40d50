"""Objects of Google Cloud Storage, through gcsfs: its credentials and connections, and requests of the JSON API.

Its calls for files are not used: they look before they write, remember listings, and cannot swap.
https://cloud.google.com/storage/docs/json_api/v1/objects
"""

import base64
import hashlib
import io
import json
import logging
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from ckptkit.errors import StoreError
from ckptkit.storage.objects.service import Info, Level, Only, Power, Unmet

_CHUNK = 1 << 25  # bytes of one request of an upload
_MARK = "ckptkit-write"  # tells a write that was done, and tried again, from another one's
_MISSING = "the specified bucket does not exist"


class GcsRequests:
    """Requests to one prefix of a bucket.

    Args:
        bucket: its name.
        prefix: of the keys, without ``/`` at its end.
        timeout: seconds that an answer may take.
    """

    powers: frozenset[Power] = frozenset({"create", "swap", "ranges", "checksums", "replace"})

    def __init__(self, bucket: str, prefix: str, timeout: float) -> None:
        _require_file()
        # by default it tries gRPC first, which nothing but Google's own service answers
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        import aiohttp
        import gcsfs

        # it tells failures with a traceback; what they are is told in our own words
        logging.getLogger("gcsfs").addHandler(logging.NullHandler())
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self._system = gcsfs.GCSFileSystem(
            token="anon" if os.environ.get("STORAGE_EMULATOR_HOST") else None,
            requests_timeout=aiohttp.ClientTimeout(total=timeout),
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        self._uploads = self._system.base.replace("/storage/v1/", "/upload/storage/v1/") + "b/{}/o"
        self._lists = {"fields": f"prefixes,nextPageToken,items({','.join(_FIELDS)})"}

    @property
    def url(self) -> str:
        """What opens it again."""
        return f"gs://{self._bucket}/{self._prefix}".rstrip("/")

    def _asked(self, method: str, path: str, *names: str, **more: Any) -> Any:
        return self._system.call(method, path, self._bucket, *names, **more)

    def _info(self, told: dict[str, Any]) -> Info:
        key = str(told["name"])[len(self._prefix) :]
        return Info(key, int(told.get("size", 0)), str(told["generation"]), datetime.fromisoformat(told["updated"]))

    def _object(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = self._asked("GET", "b/{}/o/{}", self._prefix + key, json_out=True)
        return found

    def look(self, key: str) -> Info:
        """Return what is known of an object."""
        return self._info(self._object(key))

    def _listed(self, prefix: str, **more: str) -> Iterator[dict[str, Any]]:
        token: str | None = None
        while True:
            try:
                page = self._asked(
                    "GET", "b/{}/o", json_out=True, prefix=self._prefix + prefix, pageToken=token, **self._lists, **more
                )
            except FileNotFoundError:
                raise LookupError(_MISSING) from None
            yield page
            token = page.get("nextPageToken")
            if not token:
                return

    def level(self, prefix: str) -> Level:
        """Return what lies right below a prefix."""
        folders: list[str] = []
        objects: list[Info] = []
        for page in self._listed(prefix, delimiter="/"):
            cut = len(self._prefix + prefix)
            folders += [name[cut:].rstrip("/") for name in page.get("prefixes", ())]
            objects += [self._info(one) for one in page.get("items", ()) if not one["name"].endswith("/")]
        return Level(tuple(sorted(folders)), tuple(sorted(objects, key=lambda info: info.key)))

    def pages(self, prefix: str) -> Iterator[Sequence[Info]]:
        """Yield all objects below a prefix."""
        for page in self._listed(prefix):
            yield [self._info(one) for one in page.get("items", ()) if not one["name"].endswith("/")]

    def read(self, key: str, start: int, length: int | None) -> tuple[bytes, Info]:
        """Return bytes of an object from a place on: of the version that was looked up."""
        info = self.look(key)
        end = info.size if length is None else min(info.size, start + length)
        if start >= end:
            return b"", info
        try:
            _, data = self._asked(
                "GET",
                "b/{}/o/{}",
                self._prefix + key,
                headers={"Range": f"bytes={start}-{end - 1}"},
                alt="media",
                generation=info.version,
            )
        except FileNotFoundError:
            self.look(key)
            raise EOFError("it was written over while it was read") from None
        return bytes(data), info

    def write(self, key: str, data: bytes, only: Only | None) -> Info:
        """Write an object.

        The library tries again by itself, and may then meet what it wrote; a mark tells whether it did.
        """
        mark = uuid.uuid4().hex
        digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        condition = {} if only is None else {"ifGenerationMatch": only.version or "0"}
        try:
            return self._put(key, data, digest, mark, condition)
        except FileExistsError:
            with suppress(FileNotFoundError):
                there = self._object(key)
                if there.get("metadata", {}).get(_MARK) == mark:
                    return self._info(there)
            raise Unmet(key) from None

    def _put(self, key: str, data: bytes, digest: str, mark: str, condition: dict[str, str]) -> Info:
        about = json.dumps({"name": self._prefix + key, "md5Hash": digest, "metadata": {_MARK: mark}})
        edge = f"==={mark}=="
        head = f"--{edge}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{about}\r\n"
        body = f"{head}--{edge}\r\nContent-Type: application/octet-stream\r\n\r\n".encode() + data
        try:
            told = self._asked(
                "POST",
                self._uploads,
                headers={"Content-Type": f'multipart/related; boundary="{edge}"'},
                data=io.BytesIO(body + f"\r\n--{edge}--".encode()),
                uploadType="multipart",
                json_out=True,
                **condition,
            )
        except FileNotFoundError:
            if condition.get("ifGenerationMatch", "0") != "0":
                raise FileExistsError(key) from None  # some answer so where there is no object of that version
            raise LookupError(_MISSING) from None
        return self._info(told)

    def upload(self, key: str, path: Path) -> Info:
        """Write a file in parts, and compare the MD5 of what arrived."""
        size, digest = os.stat(path).st_size, hashlib.md5(usedforsecurity=False)
        where = self._begun(key, size)
        told: dict[str, Any] = {}
        with path.open("rb") as file:
            for start in range(0, max(size, 1), _CHUNK):
                part = file.read(min(_CHUNK, size - start))
                digest.update(part)
                reach = f"{start}-{start + len(part) - 1}" if part else "*"
                _, answer = self._system.call(
                    "PUT", where, headers={"Content-Range": f"bytes {reach}/{size}"}, data=io.BytesIO(part)
                )
                told = json.loads(answer or b"{}") if start + len(part) == size else {}
        if told.get("md5Hash", "") != base64.b64encode(digest.digest()).decode():
            raise ValueError("ChecksumError")
        return self._info(told)

    def _begun(self, key: str, size: int) -> str:
        try:
            headers, _ = self._asked(
                "POST", self._uploads, uploadType="resumable", name=self._prefix + key,
                headers={"X-Upload-Content-Length": str(size)},
            )  # fmt: skip
        except FileNotFoundError:
            raise LookupError(_MISSING) from None
        return str(headers["Location"])

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects."""
        for key in keys:
            with suppress(FileNotFoundError):
                self._asked("DELETE", "b/{}/o/{}", self._prefix + key)

    def delete_only(self, key: str, version: str) -> None:
        """Remove an object that has this version; it looks before, too, for some do not heed the condition."""
        try:
            if self.look(key).version != version:
                raise Unmet(key)
            self._asked("DELETE", "b/{}/o/{}", self._prefix + key, ifGenerationMatch=version)
        except (FileExistsError, FileNotFoundError):
            raise Unmet(key) from None

    def copy(self, source: str, target: str) -> Info:
        """Copy an object; large ones take several requests."""
        token: str | None = None
        while True:
            told = self._asked(
                "POST",
                "b/{}/o/{}/rewriteTo/b/{}/o/{}",
                self._prefix + source,
                self._bucket,
                self._prefix + target,
                headers={"Content-Type": "application/json"},
                rewriteToken=token,
                json_out=True,
            )
            if told.get("done", True):
                return self._info(told["resource"])
            token = told["rewriteToken"]

    def unfinished(self, prefix: str, older: float) -> list[str]:
        """Return nothing: nobody sees them, nobody pays for them, and the service drops them after a week."""
        return []

    def abort(self, upload: str) -> None:
        """Do nothing."""

    def refuses_damaged(self, key: str) -> bool | None:
        """Send what does not fit its checksum."""
        wrong = base64.b64encode(hashlib.md5(b"other", usedforsecurity=False).digest()).decode()
        try:
            self._put(key, b"damaged", wrong, uuid.uuid4().hex, {})
        except Exception:  # the library has several for an answer of 400
            return True
        return False


_FIELDS = ("name", "size", "generation", "updated")


def _require_file() -> None:
    """Raise StoreError where the credentials that are named are not there: gcsfs would ask the network for a minute."""
    named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if named and not os.environ.get("STORAGE_EMULATOR_HOST") and not os.path.isfile(named):
        told = f"GOOGLE_APPLICATION_CREDENTIALS={named}: there is no such file"
        raise StoreError(told, hint="name the file of the credentials, or unset it and log in with gcloud")
