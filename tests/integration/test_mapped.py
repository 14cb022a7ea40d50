"""A large file is digested mapped, in a process that may die of it: what is said of the file is the same as ever."""

import contextlib
import os
import random
import sys
from pathlib import Path

import pytest

from ckptkit import CheckpointStore, Files, digest, mapped
from ckptkit.digest import digest_bytes, digest_stream

SIZE = (2 << 20) + 77
DATA = random.Random(1).randbytes(SIZE)
SPARSE = 1 << 29


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(digest, "MAPPED", 1 << 20)
    path = tmp_path / "large"
    path.write_bytes(DATA)
    return path


def digested(path: Path, told: list[int]) -> tuple[int, str]:
    with path.open("rb") as stream:
        return digest_stream(stream, SIZE, on_bytes=told.append, threads=2)


def test_a_mapped_file_has_the_digest_of_its_bytes(large: Path) -> None:
    with large.open("rb") as stream:
        assert mapped.digested(stream.fileno(), 2) == (SIZE, digest_bytes(DATA).removeprefix("blake3:"))


def test_a_large_file_in_the_page_cache_is_mapped(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with large.open("rb") as stream:
        if not mapped.is_worth_it(stream.fileno(), SIZE):
            pytest.skip("this file system does not tell what is in the page cache")
    monkeypatch.setattr("ckptkit.blocks.ahead", None)  # nothing is read here
    monkeypatch.setattr("ckptkit.blocks.in_turn", None)
    told: list[int] = []
    assert digested(large, told) == (SIZE, digest_bytes(DATA))
    assert sum(told) == SIZE


def test_a_file_that_is_on_the_disk_is_read(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def waiting(*arguments: object) -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "preadv", waiting)
    monkeypatch.setattr(mapped, "digested", None)
    assert digested(large, []) == (SIZE, digest_bytes(DATA))


def test_without_another_process_the_file_is_read(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/there/is/no/python")
    assert digested(large, []) == (SIZE, digest_bytes(DATA))


def test_a_file_that_is_cut_while_it_is_mapped_ends_only_the_other_process(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("w+b") as stream:
        stream.truncate(SPARSE)
        assert mapped.digested(stream.fileno(), 1, lambda count: os.truncate(path, 10)) is None


def test_a_checkpoint_whose_file_is_cut_while_it_is_mapped_has_changed(large: Path, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store", cache=False)
    saved = store.save("r", 1, {"data": Files(large, "files")})
    report = store.verify("r", level="digest", on_bytes=lambda count: os.truncate(saved.path / "data/large", 10))
    assert [problem.code for problem in report.checkpoints[0].problems] == ["file-changed"]


def children() -> set[str]:
    """Return the processes that this one has started, living or not."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            after_its_name = path.read_text().rpartition(")")[2].split()
            found |= {path.parent.name} if after_its_name[1] == str(os.getpid()) else set()
    return found


def test_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    def press(count: int) -> None:
        raise KeyboardInterrupt

    path, before = tmp_path / "sparse", children()
    with path.open("w+b") as stream:
        stream.truncate(SPARSE)
        with pytest.raises(KeyboardInterrupt):
            mapped.digested(stream.fileno(), 1, press)
    assert children() <= before
