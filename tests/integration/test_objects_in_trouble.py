"""A write through a network in trouble ends right, or fails in words: S3 behind a proxy that does what networks do."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from object_servers import Server
from troubled import Fault, Proxy, Seen, storm

from ckptkit.errors import StoreError
from ckptkit.storage.objects.opening import open_objects
from ckptkit.storage.objects.retrying import Patience
from ckptkit.storage.objects.service import NEW, Objects, Only, Unmet

QUICK = Patience(attempts=4, pause=0.01, longest=0.05, timeout=10.0)
ENDLESS = 1_000_000


@pytest.fixture
def proxy(s3: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with Proxy(s3.port) as one:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{one.own}")
        yield one


@pytest.fixture
def objects(proxy: Proxy, s3: Server) -> Objects:
    return open_objects(s3.place(), QUICK)


def content_and_version(objects: Objects) -> tuple[bytes, str]:
    data, info = objects.read("key")
    return data, info.version


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_storm_that_ends_is_waited_for(objects: Objects, proxy: Proxy, status: int) -> None:
    for ask in (
        lambda: objects.write("key", b"content"),
        lambda: objects.read("key"),
        lambda: list(objects.below("")),
        lambda: objects.level(""),
        lambda: objects.delete(["key"]),
    ):
        proxy.decide = storm(Fault(status=status), 3)
        ask()
    proxy.decide = storm(Fault(), 0)
    assert objects.look("key") is None


def test_a_storm_without_end_fails_in_words_after_a_bounded_number_of_requests(objects: Objects, proxy: Proxy) -> None:
    proxy.decide = storm(Fault(status=503), ENDLESS)
    with pytest.raises(StoreError, match=r"s3://.*/key: the service is overloaded or out of order") as caught:
        objects.write("key", b"content", NEW)
    assert len(proxy.seen) == QUICK.attempts
    assert "try again later" in caught.value.hint
    assert "\n" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize("status", [400, 403, 405])
def test_what_will_not_pass_is_not_tried_again(objects: Objects, proxy: Proxy, status: int) -> None:
    proxy.decide = storm(Fault(status=status), ENDLESS)
    with pytest.raises(StoreError):
        objects.write("key", b"content", NEW)
    assert len(proxy.seen) == 1


def test_who_made_an_object_and_lost_the_answer_is_told_that_it_was_made(objects: Objects, proxy: Proxy) -> None:
    proxy.decide = storm(Fault(drop=True), 1, of="PUT")
    info = objects.write("key", b"content", NEW)
    assert [seen.method for seen in proxy.seen].count("PUT") == 2
    assert content_and_version(objects) == (b"content", info.version)


def test_who_lost_an_answer_does_not_take_the_object_of_another_for_its_own(objects: Objects, proxy: Proxy) -> None:
    before = objects.write("key", b"of another")
    for fault in (Fault(reset=True), Fault(drop=True), Fault(status=503)):
        proxy.decide = storm(fault, 1, of="PUT")
        with pytest.raises(Unmet):
            objects.write("key", b"content", NEW)
    assert content_and_version(objects) == (b"of another", before.version)


def test_a_swap_whose_answer_was_lost_was_done_once(objects: Objects, proxy: Proxy) -> None:
    before = objects.write("key", b"before")
    proxy.decide = storm(Fault(drop=True), 1, of="PUT")
    after = objects.write("key", b"after", Only(before.version))
    assert content_and_version(objects) == (b"after", after.version)


def test_a_removal_whose_answer_was_lost_was_done(objects: Objects, proxy: Proxy) -> None:
    info = objects.write("key", b"content")
    proxy.decide = storm(Fault(drop=True), 1, of="POST")
    objects.delete_only("key", info.version)
    assert objects.look("key") is None


@pytest.mark.parametrize("fault", [Fault(truncate=True), Fault(drop=True), Fault(reset=True), Fault(delay=1.5)])
def test_a_broken_answer_is_asked_for_again(objects: Objects, proxy: Proxy, fault: Fault) -> None:
    data = random.Random(3).randbytes(300_000)
    objects.write("key", data)
    info = objects.look("key")
    objects = open_objects(objects.url, replace(QUICK, timeout=1.0))
    for ask in (lambda: objects.read("key"), lambda: objects.open("key").read(len(data))):
        proxy.decide = storm(fault, 1, of="GET")
        assert ask() in ((data, info), data)
    for listed in (lambda: list(objects.below("")), lambda: list(objects.level("").objects)):
        proxy.decide = storm(fault, 1, of="GET")
        assert listed() == [info]


def test_a_service_that_never_answers_is_waited_for_a_bounded_time(s3: Server, proxy: Proxy) -> None:
    objects = open_objects(s3.place(), Patience(attempts=2, pause=0.01, timeout=0.3))
    proxy.decide = storm(Fault(delay=5.0), ENDLESS)
    with pytest.raises(StoreError, match="the service did not answer in time"):
        objects.write("key", b"content")
    assert len(proxy.seen) == 2


def test_what_arrives_damaged_is_refused_and_leaves_nothing(objects: Objects, proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(random.Random(4).randbytes(20_000_000))
    (tmp_path / "small").write_bytes(b"few")
    for name in ("file", "small"):
        proxy.decide = lambda seen: Fault(corrupt=True) if seen.method == "PUT" else None
        with pytest.raises(StoreError, match="arrived damaged"):
            objects.upload(name, tmp_path / name)
        proxy.decide = storm(Fault(), 0)
        assert objects.look(name) is None
        assert objects.unfinished("", 0.0) == []


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(reset=True), Fault(drop=True), Fault(truncate=True)])
def test_an_upload_in_parts_goes_on_through_trouble(
    objects: Objects, proxy: Proxy, fault: Fault, tmp_path: Path
) -> None:
    data = random.Random(5).randbytes(20_000_000)
    (tmp_path / "file").write_bytes(data)
    for method in ("PUT", "POST"):
        proxy.decide = storm(fault, 2, of=method)
        assert objects.upload(f"file-{method}", tmp_path / "file").size == len(data)
        assert objects.read(f"file-{method}")[0] == data
    proxy.decide = storm(Fault(), 0)
    for upload in objects.unfinished("", 0.0):  # one whose number was lost with the answer
        objects.abort(upload)
    assert objects.unfinished("", 0.0) == []


def test_an_upload_that_fails_takes_its_parts_back(objects: Objects, proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(random.Random(6).randbytes(20_000_000))

    def decide(seen: Seen) -> Fault | None:
        return Fault(status=503) if "partNumber=2" in seen.path else None

    proxy.decide = decide
    with pytest.raises(StoreError, match="overloaded"):
        objects.upload("run/file", tmp_path / "file")
    assert sum("partNumber=2" in seen.path for seen in proxy.seen) == QUICK.attempts
    assert objects.unfinished("", 0.0) == []
    assert objects.look("run/file") is None
