"""On a file system that clones, an equal file shares its blocks with the earlier one, and is a file of its own."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ckptkit import CheckpointStore, Files, StoreReader
from ckptkit.storage.local.extents import shared_bytes

SIZE = 4_000_001


@pytest.fixture(scope="module", params=["xfs", "btrfs"])
def cloning(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system in a file, mounted for these tests: that takes root, and the programs that make one."""
    make, image = shutil.which(f"mkfs.{request.param}"), tmp_path_factory.mktemp("image") / "image"
    if make is None or os.geteuid() != 0:
        pytest.skip(f"root and mkfs.{request.param} are needed to make a file system")
    with image.open("wb") as stream:
        stream.truncate(320 << 20)
    subprocess.run([make, "-q", image], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    place = tmp_path_factory.mktemp("cloning")
    mounted = subprocess.run(["mount", "-o", "loop", image, place], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def store(cloning: Path, tmp_path: Path) -> Iterator[CheckpointStore]:
    """A store with two checkpoints of one large file, and a small one that differs."""
    root = cloning / tmp_path.name
    files = tmp_path / "files"
    files.mkdir()
    (files / "large.bin").write_bytes(np.random.default_rng(0).bytes(SIZE))
    saved = CheckpointStore(root, dedup="file", cache=False)
    for step in (1, 2):
        (files / "small.txt").write_text(str(step))
        saved.save("run", step, {"all": Files(files, "files")})
    yield saved
    shutil.rmtree(root)


def large(store: CheckpointStore, step: int) -> Path:
    return Path(store.storage.url) / f"run/step-0000000{step}/all/large.bin"


def good(store: CheckpointStore) -> list[bool]:
    return [one.good for one in store.verify().checkpoints]


def test_an_equal_file_is_a_clone_and_no_link(store: CheckpointStore) -> None:
    first, second = large(store, 1), large(store, 2)
    assert not os.path.samefile(first, second)
    assert first.read_bytes() == second.read_bytes()
    assert shared_bytes(first) == shared_bytes(second) == SIZE
    assert good(store) == [True, True]


def test_what_is_shared_is_not_its_own(store: CheckpointStore) -> None:
    described = StoreReader(store.storage.url).describe("run@2")
    assert (described.manifest.size, described.own_size) == (SIZE + 1, 1)


def test_a_write_to_one_does_not_reach_the_other(store: CheckpointStore) -> None:
    with large(store, 1).open("r+b") as stream:
        stream.write(b"damaged")
    assert good(store) == [False, True]


def test_the_last_that_has_it_owns_it(store: CheckpointStore) -> None:
    shutil.rmtree(large(store, 1).parent.parent)
    os.sync()
    assert good(store) == [True]
    assert large(store, 2).stat().st_size == SIZE
