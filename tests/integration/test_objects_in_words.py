"""What goes wrong with a service is one line that says it, and one that says what to do; neither holds a secret."""

import traceback
from collections.abc import Iterator

import pytest
from object_servers import KEY, SECRET, Server
from troubled import Fault, Proxy, storm

from ckptkit.errors import CkptkitError, StoreError
from ckptkit.storage.objects.opening import open_objects
from ckptkit.storage.objects.retrying import Patience

QUICK = Patience(attempts=2, pause=0.01, longest=0.02, timeout=5.0)


def told(url: str) -> StoreError:
    """Return what a listing at a URL fails with, after a look that it holds no secret."""
    with pytest.raises(StoreError) as caught:
        list(open_objects(url, QUICK).below(""))
    error = caught.value
    text = "".join(traceback.format_exception(error)) + error.hint
    assert SECRET not in text
    assert "wrong-secret" not in text
    assert KEY not in text
    assert "\n" not in f"{error}{error.hint}"
    assert error.__cause__ is None
    return error


def test_a_bucket_that_is_not_there_is_named(s3: Server) -> None:
    error = told("s3://no-such-bucket/prefix")
    assert str(error) == "s3://no-such-bucket/prefix: there is no such bucket"
    assert "create it" in error.hint


def test_a_secret_that_is_wrong_is_not_repeated(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    assert "does not accept the credentials" in str(told(s3.place()))


def test_a_host_that_is_not_there_is_said_to_be_none(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://nowhere.invalid")
    error = told(s3.place())
    assert "there is no such host" in str(error)
    assert "AWS_ENDPOINT_URL" in error.hint


def test_a_port_where_nobody_listens_is_said_to_be_one(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "nothing answers there" in str(told(s3.place()))


def test_plain_http_to_another_machine_takes_a_word(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://nowhere.invalid")
    assert "AWS_ALLOW_HTTP=true" in told(s3.place()).hint


@pytest.fixture
def proxy(s3: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with Proxy(s3.port) as one:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{one.own}")
        yield one


@pytest.mark.parametrize(
    ("status", "code", "more", "words", "todo"),
    [
        (403, "AccessDenied", "", "may not do this", "list, read, write and delete"),
        (403, "RequestTimeTooSkewed", "", "the clock of this machine", "NTP"),
        (400, "ExpiredToken", "", "the credentials have expired", "aws sso login"),
        (403, "InvalidAccessKeyId", f"<AWSAccessKeyId>{KEY}</AWSAccessKeyId>", "does not accept", "AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", f"<StringToSign>{KEY}</StringToSign>", "does not accept", "AWS_ACCESS_KEY_ID"),
        (400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>", "another region: eu-west-1", "AWS_REGION"),
        (301, "PermanentRedirect", "", "another region", "AWS_REGION"),
        (404, "NoSuchBucket", "", "there is no such bucket", "create it"),
        (507, "InsufficientStorage", "", "there is no room left", "free some space"),
        (418, "Teapot", f"<Key>{KEY}</Key>", "the service refused", "doctor"),
    ],
)
def test_what_a_service_answers_is_told_in_words(
    proxy: Proxy, s3: Server, status: int, code: str, more: str, words: str, todo: str
) -> None:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message>{more}</Error>".encode()
    proxy.decide = storm(Fault(status=status, body=body), 1_000)
    error = told(s3.place())
    assert words in str(error)
    assert todo in error.hint
    assert len(proxy.seen) == (1 if status < 500 else QUICK.attempts)


def test_a_profile_that_is_nowhere_is_named(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "absent")
    with pytest.raises(StoreError, match="AWS_PROFILE=absent: there is no such profile"):
        open_objects(s3.place())


def test_a_kind_that_is_not_known_is_said_to_be_none() -> None:
    with pytest.raises(CkptkitError, match="is not a kind of store that is known"):
        open_objects("nonsense://x/y")


def test_a_url_with_credentials_is_refused_without_repeating_them() -> None:
    for url in ("s3://key:secret@bucket/x", "gs://secret@bucket/x", "az://container:secret@account/x"):
        with pytest.raises(StoreError, match="holds credentials") as caught:
            open_objects(url)
        assert "secret" not in f"{caught.value}{caught.value.hint}"


def test_credentials_that_are_nowhere_are_said_to_be_none(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy(s3.port, storm(Fault(status=403), 100)) as machine:  # what gives credentials to programs on EC2
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        assert "there are no credentials" in str(told(s3.place()))
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{machine.own}")
        assert "there are no credentials" in str(told(s3.place()))


def test_a_url_without_a_bucket_says_how_to_write_one() -> None:
    with pytest.raises(StoreError, match="names no bucket") as caught:
        open_objects("s3:///prefix")
    assert caught.value.hint == "write s3://BUCKET/PREFIX"
