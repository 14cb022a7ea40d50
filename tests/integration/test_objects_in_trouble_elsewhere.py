"""The same trouble on the way to GCS, Azure and over SFTP: it ends right, or in words."""

import random
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from object_servers import Server, entered
from troubled import Cutter, Fault, Proxy, storm

from ckptkit.errors import StoreError
from ckptkit.storage.objects.opening import open_objects
from ckptkit.storage.objects.retrying import Patience
from ckptkit.storage.objects.service import NEW, Objects, Unmet

pytestmark = pytest.mark.matrix
QUICK = Patience(attempts=3, pause=0.01, longest=0.05, timeout=5.0)


@pytest.fixture
def proxy(gcs_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with Proxy(gcs_server.port) as one:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{one.own}")
        yield one


@pytest.fixture
def gcs_objects(proxy: Proxy, gcs_server: Server) -> Objects:
    return open_objects(gcs_server.place(), QUICK)


def test_gcs_who_made_an_object_and_lost_the_answer_is_told_that_it_was_made(
    gcs_objects: Objects, proxy: Proxy
) -> None:
    proxy.decide = storm(Fault(drop=True), 1, of="POST")
    info = gcs_objects.write("key", b"content", NEW)
    assert [seen.method for seen in proxy.seen].count("POST") == 2
    assert gcs_objects.read("key") == (b"content", info)


def test_gcs_who_lost_an_answer_does_not_take_the_object_of_another_for_its_own(
    gcs_objects: Objects, proxy: Proxy
) -> None:
    before = gcs_objects.write("key", b"content")
    proxy.decide = storm(Fault(status=503), 1, of="POST")
    with pytest.raises(Unmet):
        gcs_objects.write("key", b"content", NEW)
    assert gcs_objects.read("key") == (b"content", before)


def test_gcs_an_upload_in_parts_goes_on_through_trouble(gcs_objects: Objects, proxy: Proxy, tmp_path: Path) -> None:
    data = random.Random(7).randbytes(20_000_000)
    (tmp_path / "file").write_bytes(data)
    proxy.decide = storm(Fault(status=503), 1, of="PUT")
    gcs_objects.upload("file", tmp_path / "file")
    proxy.decide = storm(Fault(truncate=True), 1, of="GET")
    assert gcs_objects.read("file")[0] == data


def test_gcs_what_arrives_damaged_is_found_and_removed(gcs_objects: Objects, proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(random.Random(8).randbytes(1_000_000))
    proxy.decide = lambda seen: Fault(corrupt=True) if seen.method == "PUT" else None
    with pytest.raises(StoreError, match="arrived damaged"):
        gcs_objects.upload("file", tmp_path / "file")
    proxy.decide = storm(Fault(), 0)
    assert gcs_objects.look("file") is None


def test_gcs_a_bucket_that_is_not_there_is_named(gcs: Server) -> None:
    for ask in (lambda objects: list(objects.below("")), lambda objects: objects.write("key", b"x")):
        with pytest.raises(StoreError, match=r"gs://absent/x.*: there is no such bucket"):
            ask(open_objects("gs://absent/x", QUICK))


def test_azure_words_hold_no_key(azure: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match=r"az://absent/x.*: there is no such bucket"):
        list(open_objects("az://absent/x", QUICK).below(""))
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmcgc2VjcmV0")
    with pytest.raises(StoreError, match="does not accept the credentials") as caught:
        list(open_objects(azure.place(), QUICK).below(""))
    assert "d3Jvbmcgc2VjcmV0" not in "".join(traceback.format_exception(caught.value))
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME")
    with pytest.raises(StoreError, match="the storage account is not named"):
        open_objects("az://container/x")


def test_azure_an_upload_goes_on_through_trouble(
    azure_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = random.Random(9).randbytes(20_000_000)
    (tmp_path / "file").write_bytes(data)
    entered(azure_server, "obstore", monkeypatch)
    with Proxy(azure_server.port) as proxy:
        account = azure_server.environment["AZURE_STORAGE_ACCOUNT_NAME"]
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"http://127.0.0.1:{proxy.own}/{account}")
        objects = open_objects(azure_server.place(), QUICK)
        for fault in (Fault(status=503), Fault(drop=True), Fault(reset=True)):
            proxy.decide = storm(fault, 2, of="PUT")
            objects.upload("file", tmp_path / "file")
            assert objects.read("file")[0] == data
        proxy.decide = storm(Fault(drop=True), 1, of="PUT")
        info = objects.write("key", b"content", NEW)
        assert objects.read("key") == (b"content", info)


@pytest.mark.parametrize("after", [500, 8_000, 1_000_000])
def test_sftp_a_connection_that_is_cut_is_made_again(sftp: Server, tmp_path: Path, after: int) -> None:
    data = random.Random(10).randbytes(3_000_000)
    (tmp_path / "file").write_bytes(data)
    with Cutter(sftp.port, after, times=2) as cutter:
        port = cutter.own
        known = Path(sftp.environment["HOME"]) / ".ssh" / "known"
        known.write_text(
            known.read_text() + known.read_text().splitlines()[0].replace(str(sftp.port), str(port)) + "\n"
        )
        url = sftp.place().replace(f":{sftp.port}", f":{port}")
        objects = open_objects(url, Patience(attempts=6, pause=0.01, longest=0.05, timeout=5.0))
        assert objects.upload("file", tmp_path / "file").size == len(data)
        assert objects.read("file")[0] == data
        assert objects.write("key", b"content", NEW).size == 7
        assert cutter.cut > 0
        for part in objects.unfinished("", 0.0):  # of an upload whose connection was cut
            objects.abort(part)
        assert [info.key for info in objects.below("")] == ["file", "key"]


def test_sftp_words(sftp: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    host = urlsplit(sftp.url)
    with pytest.raises(StoreError, match="nothing answers there"):
        open_objects(f"sftp://{host.username}@127.0.0.1:9/x", QUICK).look("key")
    with pytest.raises(StoreError, match="does not accept the credentials"):
        open_objects(f"sftp://nobody-here@127.0.0.1:{sftp.port}/x", QUICK).look("key")
    (tmp_path / ".ssh").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(StoreError, match="the host is not known"):
        open_objects(sftp.place(), QUICK).look("key")
