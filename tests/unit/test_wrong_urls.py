"""A URL or an address that is wrong is refused in words before anything is asked of a service, or saved elsewhere."""

from pathlib import Path

import pytest

from ckptkit.errors import StoreError
from ckptkit.storage.objects.memory import MemoryRequests
from ckptkit.storage.objects.opening import open_objects
from ckptkit.storage.objects.s3 import S3Requests
from ckptkit.storage.objects.steady import SteadyObjects

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
