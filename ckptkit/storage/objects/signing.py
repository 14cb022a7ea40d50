"""Requests to S3 that obstore has no call for, signed here: unfinished uploads, and a damaged one (AWS Signature 4).

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

import hashlib
import hmac
import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from urllib.parse import quote, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """Who asks; never shown.

    Attributes:
        access: the key's name.
        secret: the key.
        token: of a session; empty for a key that does not end.
    """

    access: str
    secret: str
    token: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answered.

    Attributes:
        status: of HTTP.
        headers: by their names.
        body: at most as much as an error or a list needs.
    """

    status: int
    headers: Message
    body: bytes


@dataclass(frozen=True, slots=True)
class Signer:
    """Sends signed requests about one bucket.

    Attributes:
        address: of the bucket, such as ``https://s3.eu-west-1.amazonaws.com/bucket``.
        region: that it is in.
        keys: who asks.
        timeout: seconds that an answer may take.
    """

    address: str
    region: str
    keys: Keys
    timeout: float

    def send(
        self, method: str, key: str = "", query: Mapping[str, str] | None = None, body: bytes = b"", checksum: str = ""
    ) -> Answer:
        """Return the answer to a request, whatever its status.

        Args:
            method: of HTTP.
            key: in the bucket.
            query: parameters.
            body: what is sent.
            checksum: what the SHA-256 of the body is said to be, in base 64, beside the signature.

        Raises:
            OSError: there was no answer.
            http.client.HTTPException: it was none of HTTP.
        """
        parts = urlsplit(self.address)
        path = parts.path.rstrip("/") + (f"/{quote(key, safe='/-_.~')}" if key else "/")
        asked = "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in sorted((query or {}).items()))
        digest = hashlib.sha256(body).hexdigest()
        headers = self.signed(method, parts.netloc, path, asked, digest, checksum, datetime.now(UTC))
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.netloc, timeout=self.timeout)
        try:
            connection.request(method, f"{path}?{asked}" if asked else path, body or None, headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def signed(
        self, method: str, host: str, path: str, query: str, digest: str, checksum: str, now: datetime
    ) -> dict[str, str]:
        """Return the headers of a request that was signed at a moment; path and query are quoted already."""
        moment, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": moment}
        if checksum:
            headers["x-amz-checksum-sha256"] = checksum
        if self.keys.token:
            headers["x-amz-security-token"] = self.keys.token
        names = ";".join(sorted(headers))
        lines = [f"{name}:{headers[name]}" for name in sorted(headers)]
        canonical = "\n".join([method, path, query, *lines, "", names, digest])
        scope = f"{day}/{self.region}/s3/aws4_request"
        text = "\n".join([_ALGORITHM, moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        secret = f"AWS4{self.keys.secret}".encode()
        for part in (day, self.region, "s3", "aws4_request"):
            secret = hmac.digest(secret, part.encode(), "sha256")
        signature = hmac.new(secret, text.encode(), "sha256").hexdigest()
        who = f"Credential={self.keys.access}/{scope}, SignedHeaders={names}, Signature={signature}"
        return {**headers, "authorization": f"{_ALGORITHM} {who}"}
