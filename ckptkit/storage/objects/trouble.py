"""What goes wrong with a service, in words: of what its library raised, one line, what to do, and if it passes.

Libraries put requests, addresses with signatures and whole answers into what they raise. Nothing of that is repeated
but the service's own code for what happened, and lines that were searched for secrets.
"""

import re
from dataclasses import dataclass, replace

from ckptkit.errors import DiskFullError, StoreError
from ckptkit.manifest.redaction import redact_text

_CODE = re.compile(r"<Code>\s*(\w+)\s*</Code>|x-ms-error-code\W+(\w+)|\bErrorCode:\s*(\w+)")
_STATUS = re.compile(r"status code:? (\d{3})|\bstatus[=:]\s*(\d{3})|, (\d{3})$")
_REGION = re.compile(r"<Region>\s*([\w-]+)\s*</Region>|expecting '([\w-]+)'")
_ADDRESS = re.compile(r"\b(?:https?|wss?)://\S+")
# what says nothing of the reason, and may hold words that would: names of objects, and how often it was tried
_BESIDE = re.compile(rf"{_ADDRESS.pattern}|\bat location \S+|\b(?:max_retries|retry_timeout|retries|elapsed): \S+")
_TRIED = re.compile(r"\bafter \d+ retries")
_TRYING = ("gcsfs", "requests", "aiohttp")  # what gcsfs raises, it tried six times
_LONGEST = 200  # characters of what a library says


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happened.

    Attributes:
        reason: what follows the name of the object in the line that is told.
        hint: what to do.
        passing: the same request may go well in a moment.
        kind: what is raised.
    """

    reason: str
    hint: str
    passing: bool = False
    kind: type[StoreError] = StoreError

    def error(self, url: str) -> StoreError:
        """Return the error to raise about an object or a store; its hint names the settings of that service alone."""
        own = _OWN.get(url.partition("://")[0], _OTHER)
        return self.kind(f"{url}: {self.reason}", hint=own.get(self.hint, self.hint))


_LATER = "try again later; what was saved before is as it was"
_CREDENTIALS, _EXPIRED, _ENDPOINT, _PLAIN = "check the credentials", "get new ones", "check the endpoint", "write https"


def _hints(credentials: str, renew: str, endpoint: str, plain: str) -> dict[str, str]:
    """Return what to do, in the words of one service: by hint."""
    return {
        _CREDENTIALS: f"check what names them: {credentials}",
        _EXPIRED: f"get new ones{renew}, then try again",
        _ENDPOINT: f"check {endpoint}",
        _PLAIN: f"write https://{plain}",
    }


_OTHER = _hints("the settings of the service", "", "--store", "")
_AWS = _hints(
    "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE",
    " (`aws sso login`)",
    "the endpoint (AWS_ENDPOINT_URL, --store)",
    "…, or allow http with AWS_ALLOW_HTTP=true",
)
_AZURE = _hints(
    "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN",
    " (`az login`)",
    "the endpoint (AZURE_STORAGE_ENDPOINT, --store)",
    "…, or allow http with AZURE_ALLOW_HTTP=true",
)
_GOOGLE = _hints(
    "GOOGLE_APPLICATION_CREDENTIALS",
    " (`gcloud auth application-default login`)",
    "the endpoint (STORAGE_EMULATOR_HOST, --store)",
    "",
)
_SSH = _hints("the user in --store, and the keys and the agent of ssh", "", "the host and the port in --store", "")
_OWN = {
    **dict.fromkeys(("s3", "s3a"), _AWS),
    **dict.fromkeys(("az", "azure", "abfs", "abfss"), _AZURE),
    **dict.fromkeys(("gs", "gcs"), _GOOGLE),
    **dict.fromkeys(("sftp", "ssh"), _SSH),
}
_KNOWN: tuple[tuple[re.Pattern[str], Trouble], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), trouble)
    for pattern, trouble in (
        (
            r"NoSuchBucket|ContainerNotFound|(bucket|container) does not exist|the specified bucket",
            Trouble("there is no such bucket", "create it with your cloud's own tool, or correct --store"),
        ),
        (
            r"not found in known_hosts",
            Trouble("the host is not known here", "connect once with `ssh`, and compare its fingerprint"),
        ),
        (
            r"BadHostKey",
            Trouble("its key is not the one that is known", "ask who runs it; `ssh-keygen -R HOST` forgets it"),
        ),
        (
            r"RequestTimeTooSkewed|request date header too old|request is too old|difference between the request time",
            Trouble("the clock of this machine is too far from the service's", "set it by NTP, then try again"),
        ),
        (
            r"ExpiredToken|TokenRefreshRequired|token\b.{0,20}\bexpired|credentials?\b.{0,20}\bexpired"
            r"|not valid in the specified time frame|ExpiredAuthenticationToken|invalid_grant|RefreshError",
            Trouble(
                "the credentials have expired",
                _EXPIRED,
            ),
        ),
        (
            r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|AuthenticationFailed|InvalidAuthenticationInfo"
            r"|NoAuthenticationInformation|failed to authenticate|Invalid Credentials|Unauthenticated"
            r"|AuthenticationException|Authentication failed|No authentication methods|DefaultCredentialsError"
            r"|(status code:?|,) 401\b",
            Trouble("the service does not accept the credentials", _CREDENTIALS),
        ),
        (
            r"InvalidBucketName|InvalidResourceName|OutOfRangeInput",
            Trouble("this cannot be the name of a bucket", "correct --store"),
        ),
        (
            r"AccessDenied|AuthorizationPermissionMismatch|AllAccessDisabled|PermissionDenied|Permission denied"
            r"|PermissionError|Forbidden|(status code:?|,) 403\b",
            Trouble(
                "the credentials may not do this here",
                "it takes the right to list, read, write and delete objects below the store's prefix",
            ),
        ),
        (
            r"QuotaExceeded|InsufficientStorage|No space left|Disk quota|(status code:?|,) 507\b",
            Trouble("there is no room left", DiskFullError.default_hint, kind=DiskFullError),
        ),
        (
            r"EntityTooLarge|RequestBodyTooLarge",
            Trouble("it is larger than the service takes", "keep the store elsewhere"),
        ),
        (
            r"BadDigest|SHA256Mismatch|Md5Mismatch|ChecksumError|InvalidDigest|Mismatch.{0,20}checksum|crc\w* mismatch",
            Trouble("what was sent arrived damaged, and was not stored", "try again; or look at the network"),
        ),
        (
            r"dns error|failed to lookup|name or service not known|nodename nor servname|getaddrinfo|gaierror"
            r"|name resolution|no address associated|Name does not resolve",
            Trouble("there is no such host", _ENDPOINT),
        ),
        (
            r"certificate|CERTIFICATE_VERIFY",
            Trouble("the certificate of the service is not trusted", "SSL_CERT_FILE names those that are"),
        ),
        (
            r"BadScheme|scheme is not allowed",
            Trouble("the endpoint is not https", _PLAIN),
        ),
        (
            r"Connection ?refused|NoValidConnections",
            Trouble("nothing answers there", _ENDPOINT),
        ),
        (
            r"(status code:?|,) (429|5\d\d)\b|SlowDown|ServerBusy|TooManyRequests|InternalError|ServiceUnavailable"
            r"|OperationTimedOut|ProxyError",
            Trouble("the service is overloaded or out of order", _LATER, passing=True),
        ),
        (
            r"timed? ?out|Timeout",
            Trouble("the service did not answer in time", _LATER, passing=True),
        ),
        (
            r"reset by peer|broken pipe|ConnectionReset|ConnectionAborted|connection (was )?(closed|lost|dropped|error)"
            r"|unexpected (eof|end)|end of file|incomplete|Disconnected|EOFError|error sending request|SendRequest"
            r"|decoding response body|Payload|ClientOSError|SSHException|socket is closed|client error \(Connect\)",
            Trouble("the connection broke", _LATER, passing=True),
        ),
    )
)  # fmt: skip
_FORBIDDEN = re.compile(r"status code: 403\b")  # without a code where only headers were asked for
_NO_KEYS = re.compile(
    r"Missing (AccessKeyId|SecretAccessKey)|/latest/api/token|169\.254\.169\.254|metadata\.google|/metadata/identity"
)
_ELSEWHERE = re.compile(
    r"PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraint|redirect without LOCATION"
    r"|TemporaryRedirect|(status code:?|,) 301\b",
    re.IGNORECASE,
)


def understood(error: BaseException) -> Trouble:
    """Return what happened, by what a library raised."""
    text = _text(error)
    if _NO_KEYS.search(str(error)):
        return Trouble("there are no credentials", _CREDENTIALS)
    if _ELSEWHERE.search(text):
        region = _first(_REGION, text)
        where = f": {region}" if region else ""
        todo = f"set AWS_REGION={region}" if region else "set AWS_REGION to the region of the bucket"
        return Trouble(f"the bucket is in another region{where}", todo)
    if _FORBIDDEN.search(text) and not _CODE.search(text):
        return Trouble("the service does not accept the credentials, or they may not do this here", _CREDENTIALS)
    for pattern, trouble in _KNOWN:
        if pattern.search(text):
            return replace(trouble, passing=False) if _tried(error) else trouble
    return Trouble(
        _told(error, text), "look at the endpoint and the credentials; `ckptkit doctor --store URL` tries all"
    )


def _tried(error: BaseException) -> bool:
    """Return whether its library has tried again by itself, often enough."""
    return bool(_TRIED.search(str(error))) or type(error).__module__.partition(".")[0] in _TRYING


def no_bucket(error: BaseException) -> bool:
    """Return whether what was not found is not the object, but the place where it would be."""
    return bool(_KNOWN[0][0].search(_text(error)))


def _text(error: BaseException) -> str:
    code = getattr(error, "code", None) or getattr(error, "status", None)
    said = _BESIDE.sub("", f"{type(error).__name__}: {error}")
    return f"{said}, {code}" if isinstance(code, int | str) and code else said


def _told(error: BaseException, text: str) -> str:
    code, status = _first(_CODE, text), _first(_STATUS, text)
    if code or status:
        return f"the service refused ({', '.join(word for word in (code, status) if word)})"
    line = next((line for line in str(error).splitlines() if line.strip()), "").strip()
    open_ = redact_text(_ADDRESS.sub("…", line))[:_LONGEST]
    return f"{type(error).__name__}: {open_}" if open_ else type(error).__name__


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return next((group for group in found.groups() if group), "") if found else ""
