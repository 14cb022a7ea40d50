"""A URL or an address that is wrong is refused in words before anything is asked of a service, or saved elsewhere."""

import re
from pathlib import Path

import pytest

from ckptkit.config import load_config
from ckptkit.errors import StoreError, UsageError
from ckptkit.manifest.redaction import redact_text
from ckptkit.storage import open_storage
from ckptkit.storage.local import LocalStorage
from ckptkit.storage.objects.memory import MemoryRequests
from ckptkit.storage.objects.opening import open_objects
from ckptkit.storage.objects.s3 import S3Requests
from ckptkit.storage.objects.steady import SteadyObjects
from ckptkit.storage.objects.trouble import understood

WRONG = ["127.0.0.1:8333", "localhost:8333", "http://", "http://127.0.0.1:99999", "not a url", "http://10.0.0.1 /",
    "ftp://x", "http://[::1"]  # fmt: skip


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Name who asks, and nothing else."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AZURE_STORAGE_ENDPOINT", "AZURE_STORAGE_ACCOUNT_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "someone")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "absent"))


@pytest.mark.parametrize("address", WRONG)
@pytest.mark.parametrize(("url", "name"), [("s3://b/x", "AWS_ENDPOINT_URL"), ("az://b/x", "AZURE_STORAGE_ENDPOINT")])
def test_an_endpoint_that_is_no_address_is_told_by_its_variable(
    url: str, name: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, address)
    with pytest.raises(StoreError, match=name) as caught:
        open_objects(url)
    assert "write http://HOST:PORT" in caught.value.hint
    assert caught.value.exit_code == 10


def test_an_empty_endpoint_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "")
    objects = open_objects("s3://b/x")
    assert isinstance(objects, SteadyObjects)
    assert isinstance(objects.requests, S3Requests)
    assert objects.requests._store.config["endpoint"].startswith("https://s3.")


def test_a_panic_of_a_library_is_an_error_of_the_store() -> None:
    class Panicking(MemoryRequests):
        def look(self, key: str) -> None:  # type: ignore[override]
            raise type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})("called unwrap()")

    with pytest.raises(StoreError, match="PanicException"):
        SteadyObjects(Panicking("/x")).look("key")


@pytest.mark.parametrize(
    "slip", ["s3:/B/x", "s3//B/x", "S3:B", "gs:B/x", "abfss:/c@a/x", "sftp:/h/x", "memory:x", "file:x"]
)
def test_a_url_with_a_slip_in_it_is_no_folder(slip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="is no URL") as caught:
        open_storage(slip)
    assert f"write {slip.partition(':')[0].partition('/')[0].lower()}://" in caught.value.hint
    assert caught.value.exit_code == 2


def test_the_hint_is_the_url_that_was_meant() -> None:
    with pytest.raises(UsageError) as caught:
        open_storage("s3:/B/x")
    assert caught.value.hint == "write s3://B/x if it is a URL, ./s3:/B/x if it is a folder"


def test_a_folder_that_is_called_so_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:").mkdir()
    (tmp_path / "gs").mkdir()
    for name in ("./s3:", Path("s3:"), "gs//x", "gsx", "s3", "s3/x"):
        assert isinstance(open_storage(name), LocalStorage)


@pytest.mark.parametrize("url", ["s3://b/x\n", "s3://b/a\tb", "s3://b/\x1bx", "memory://a\rb", "file:///tmp/a\nb"])
def test_control_characters_in_a_url_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="control characters"):
        open_storage(url)


@pytest.mark.parametrize("url", ["http://10.0.0.1:9000/bucket", "https://bucket.example/x"])
def test_the_address_of_a_server_is_no_store(url: str) -> None:
    with pytest.raises(StoreError, match="not of a store") as caught:
        open_storage(url)
    assert caught.value.hint == "write s3://BUCKET/PREFIX, and name the server with AWS_ENDPOINT_URL"


def test_a_url_with_a_slip_in_it_is_refused_in_the_file_too(tmp_path: Path) -> None:
    (tmp_path / "ckptkit.yaml").write_text("store: s3:/B/x\n")
    with pytest.raises(UsageError, match=r"ckptkit\.yaml: line 1: store: store 's3:/B/x': is no URL"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://b/../x", "has . or .. as a part"),
        ("az://b/x/./y", "has . or .. as a part"),
        ("sftp://127.0.0.1:abc/x", "host or port makes no sense"),
        ("sftp://127.0.0.1:99999/x", "host or port makes no sense"),
        ("s3://[b/x", "host or port makes no sense"),
    ],
)
def test_a_url_that_makes_no_sense_is_told_in_own_words(url: str, words: str) -> None:
    with pytest.raises(StoreError, match=words) as caught:
        open_storage(url)
    assert "Error" not in str(caught.value)
    assert redact_text(caught.value.hint) == caught.value.hint


def test_a_key_that_is_no_key_is_told_in_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "notbase64secret")
    with pytest.raises(StoreError, match="is not base64") as caught:
        open_storage("az://b/x")
    assert "notbase64secret" not in f"{caught.value} {caught.value.hint}"


def test_the_hint_to_name_an_account_is_printed_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME")
    with pytest.raises(StoreError) as caught:
        open_storage("az://b/x")
    assert "abfss://CONTAINER@ACCOUNT.dfs" in redact_text(caught.value.hint)


@pytest.mark.parametrize(
    ("scheme", "own"),
    [("s3", "AWS_"), ("az", "AZURE_"), ("gs", "GOOGLE_|STORAGE_EMULATOR_HOST"), ("sftp", "keys|host")],
)
@pytest.mark.parametrize("said", ["Connection refused", "dns error", "AuthenticationFailed", "BadScheme"])
def test_advice_names_the_settings_of_its_own_service(scheme: str, own: str, said: str) -> None:
    hint = understood(OSError(said)).error(f"{scheme}://b/x").hint
    for other in {"AWS_", "AZURE_", "GOOGLE_", "STORAGE_EMULATOR_HOST"} - set(own.split("|")):
        assert other not in hint
    assert said == "BadScheme" or re.search(own, hint)


def test_credentials_of_google_that_are_not_there_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nope.json")
    with pytest.raises(StoreError, match=r"GOOGLE_APPLICATION_CREDENTIALS=/nope\.json: there is no such file"):
        open_storage("gs://b/x")


@pytest.mark.parametrize(
    "url", ["s3:key:SECRET99@b", "s3//key:SECRET99@b/x", "S3:key:SECRET99@b", "s3:b/x?sig=SECRET99"]
)
def test_a_slip_does_not_show_a_secret(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_storage(url)
    assert "SECRET99" not in f"{caught.value}{caught.value.hint}"
