"""Any change of any object of a checkpoint on a real S3 server is found, and the right file is named."""

import random
from collections.abc import Callable
from pathlib import Path

import four_kinds
import pytest
from flipping import named
from object_servers import Server

from ckptkit import CheckpointStore
from ckptkit.storage import Entry, open_storage
from ckptkit.storage.objects.opening import open_objects
from ckptkit.storage.objects.service import Objects
from ckptkit.verification import CheckpointReport, Level, Verifier

BITS = 60


@pytest.fixture
def store(four_kinds_store: Path, s3: Server) -> tuple[str, Objects]:
    """A store on the service with a checkpoint of all four kinds."""
    url = s3.place()
    assert CheckpointStore(four_kinds_store, cache=False).copy_to(url).exit_code == 0
    return url, open_objects(url)


def checkpoint(url: str) -> Entry:
    return next(at for at in open_storage(url).scan(four_kinds.RUN) if at.step == 20)


def verify(url: str, level: Level = "format") -> CheckpointReport:
    return Verifier(level).verify(checkpoint(url))


def payload(objects: Objects) -> dict[str, str]:
    """Return the keys of the files of the checkpoint of step 20, by their paths in it."""
    prefix = f"{four_kinds.RUN}/.ckptkit/data/step-00000020."
    keys = [info.key for info in objects.below(prefix)]
    return {key.removeprefix(prefix).split("/", 1)[1]: key for key in keys}


@pytest.mark.matrix
@pytest.mark.parametrize("level", ["digest", "format"])
def test_60_of_60_flipped_bits_are_found_and_the_file_is_named(store: tuple[str, Objects], level: Level) -> None:
    url, objects = store
    assert verify(url).good
    chance, missed = random.Random(60), []
    files = payload(objects)
    chosen = [*files, *chance.choices([*files], k=BITS - len(files))]
    for path in chosen:
        data = bytearray(objects.read(files[path])[0])
        bit = chance.randrange(len(data) * 8)
        whole = bytes(data)
        data[bit // 8] ^= 1 << bit % 8
        objects.write(files[path], bytes(data))
        report = verify(url, level)
        if report.good or named(report) != {path}:
            missed.append((path, bit, report.problems))
        objects.write(files[path], whole)
    assert len(chosen) == BITS
    assert missed == []
    assert verify(url).good


def _cut(objects: Objects, key: str) -> None:
    objects.write(key, objects.read(key)[0][:-1])


def _emptied(objects: Objects, key: str) -> None:
    objects.write(key, b"")


def _longer(objects: Objects, key: str) -> None:
    objects.write(key, objects.read(key)[0] + b"\0")


def _removed(objects: Objects, key: str) -> None:
    objects.delete([key])


CHANGES: dict[str, tuple[Callable[[Objects, str], None], str]] = {
    "cut by one byte": (_cut, "file-size"),
    "emptied": (_emptied, "file-size"),
    "longer by one byte": (_longer, "file-size"),
    "removed": (_removed, "file-missing"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_object_is_found_on_every_level_when_it_is(change: str, store: tuple[str, Objects]) -> None:
    url, objects = store
    path, key = sorted(payload(objects).items())[0]
    CHANGES[change][0](objects, key)
    for level in ("presence", "digest", "format"):
        report = verify(url, level)  # type: ignore[arg-type]
        assert named(report) == {path}
        assert {problem.code for problem in report.problems} == {CHANGES[change][1]}


def test_an_object_that_is_not_in_the_manifest_is_found(store: tuple[str, Objects]) -> None:
    url, objects = store
    path, key = sorted(payload(objects).items())[0]
    objects.write(key.removesuffix(path) + "policy/stray", b"of somebody")
    assert not verify(url, "presence").good


def test_flipped_bits_of_a_manifest_are_found(store: tuple[str, Objects]) -> None:
    url, objects = store
    key = f"{four_kinds.RUN}/step-00000020/manifest.json"
    whole, chance = objects.read(key)[0], random.Random(4)
    for _ in range(20):
        data, bit = bytearray(whole), chance.randrange(len(whole) * 8)
        data[bit // 8] ^= 1 << bit % 8
        objects.write(key, bytes(data))
        assert not verify(url, "presence").good
    objects.write(key, whole)
    assert verify(url).good


def test_a_resume_takes_the_one_before(store: tuple[str, Objects]) -> None:
    url, objects = store
    _cut(objects, next(iter(payload(objects).values())))
    assert CheckpointStore(url, cache=False).choose(four_kinds.RUN).at.step == 10
