"""Whatever number of threads reads, digests and copies: the same is found, in the same order, and Ctrl-C ends them."""

import errno
import os
import random
import threading
from pathlib import Path

import pytest

from ckptkit import CheckpointStore, DamagedError, Files
from ckptkit.catalog import digests, shares
from ckptkit.errors import DiskFullError, StoreError
from ckptkit.store import copying_out
from ckptkit.verification import Verifier

LARGE, MIDDLE, SMALL = 9 << 20, 1 << 17, 100
SIZES = [LARGE, *[MIDDLE] * 6, *[SMALL] * 9, 0]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CheckpointStore:
    monkeypatch.setattr(shares, "_BATCH", 2 * MIDDLE)  # several tasks of a few small files
    files = tmp_path / "files"
    files.mkdir()
    for number, size in enumerate(SIZES):
        (files / f"{number:02}").write_bytes(random.Random(number).randbytes(size))
    opened = CheckpointStore(tmp_path / "store", cache=False)
    opened.save("r", 1, {"data": Files(files, "files")})
    return opened


def flip(store: CheckpointStore, number: int) -> None:
    path = store.locate("r@1")[0].folder / "data" / f"{number:02}"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def found(store: CheckpointStore, jobs: int) -> list[tuple[str, str | None]]:
    report = store.verify("r@1", level="digest", jobs=jobs)
    return [(problem.code, problem.file) for problem in report.checkpoints[0].problems]


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_what_is_whole_is_found_whole_and_every_byte_is_counted(store: CheckpointStore, jobs: int) -> None:
    read: list[int] = []
    report = store.verify("r@1", level="digest", jobs=jobs, on_bytes=read.append)
    assert report.exit_code == 0
    assert report.checkpoints[0].bytes_read == sum(read) == sum(SIZES)


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_damage_is_told_in_the_order_of_the_manifest(store: CheckpointStore, jobs: int) -> None:
    damaged = [12, 3, 0, 5, 9]
    for number in damaged:
        flip(store, number)
    assert found(store, jobs) == [("digest-mismatch", f"data/{number:02}") for number in sorted(damaged)]


def test_a_file_that_cannot_be_read_says_nothing_about_the_others(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ckptkit.storage.local import files

    opened = files.opened

    def refusing(path: Path | str):  # type: ignore[no-untyped-def]
        if str(path).endswith(("/02", "/11")):
            raise StoreError(f"{path}: cannot be read (Input/output error)")
        return opened(path)

    monkeypatch.setattr(files, "opened", refusing)
    assert found(store, 2) == [("file-unreadable", "data/02"), ("file-unreadable", "data/11")]


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_a_file_that_is_cut_while_it_is_read_has_changed_and_ends_nothing(store: CheckpointStore, jobs: int) -> None:
    large = store.locate("r@1")[0].folder / "data" / "00"

    def cut(count: int) -> None:
        os.truncate(large, 10)

    report = store.verify("r@1", level="digest", jobs=jobs, on_bytes=cut)
    assert [(one.code, one.file) for one in report.checkpoints[0].problems] == [("file-changed", "data/00")]


def test_ctrl_c_ends_every_thread(store: CheckpointStore) -> None:
    def press(count: int) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        store.verify("r@1", level="digest", jobs=3, on_bytes=press)
    assert threading.active_count() == before


def test_no_more_files_are_open_at_a_time_than_a_verification_makes_sure_of(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 0
    digest_stream = digests.digest_stream

    def counting(*arguments, **more):  # type: ignore[no-untyped-def]
        nonlocal most
        most = max(most, len(os.listdir("/proc/self/fd")) - before)
        return digest_stream(*arguments, **more)

    monkeypatch.setattr(digests, "digest_stream", counting)
    before = len(os.listdir("/proc/self/fd"))
    assert store.verify(verifier=Verifier("digest", jobs=100)).exit_code == 0
    assert 0 < most <= 8


def test_a_file_larger_than_a_job_s_share_has_all_of_them(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared: list[tuple[int, int]] = []
    digest_stream = digests.digest_stream

    def noting(stream, expected, algorithm, *, threads, **more):  # type: ignore[no-untyped-def]
        shared.append((expected, threads))
        return digest_stream(stream, expected, algorithm, threads=threads, **more)

    monkeypatch.setattr(digests, "digest_stream", noting)
    store.verify("r@1", level="digest", jobs=4)
    assert shared[0] == (LARGE, 4)
    assert {threads for _, threads in shared[1:]} == {1}


def test_a_copy_is_digested_as_it_is_written_and_never_read_back(
    store: CheckpointStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    open_ = os.open

    def noting(path, flags, *more, **others):  # type: ignore[no-untyped-def]
        if not flags & (os.O_WRONLY | os.O_RDWR | os.O_DIRECTORY) and "out.partial" in str(path):
            read.append(str(path))
        return open_(path, flags, *more, **others)

    monkeypatch.setattr(copying_out.durable, "fsync_tree", lambda folder: None)  # it opens all to flush them
    monkeypatch.setattr(os, "open", noting)
    store.copy_out("r@1", tmp_path / "out", level="digest", jobs=3)
    assert read == []
    for number, size in enumerate(SIZES):
        assert (tmp_path / "out" / "data" / f"{number:02}").stat().st_size == size


@pytest.mark.parametrize("number", [0, 3, 9])
def test_a_file_that_is_not_what_was_verified_any_more_is_not_restored(
    store: CheckpointStore, tmp_path: Path, number: int
) -> None:
    chosen = store.choose("r@1")
    flip(store, number)
    changed = pytest.raises(DamagedError, match=f"data/{number:02}: changed while it was copied")
    with changed, copying_out.new_folder(tmp_path / "out") as new:
        copying_out.copy_out(chosen, new, jobs=2)
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.glob("out.partial*")) == []


def test_a_disk_that_is_full_is_not_taken_for_a_file_that_cannot_be_read(
    store: CheckpointStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest_stream = digests.digest_stream

    class Full:
        def write(self, block: memoryview) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def filling(*arguments, copy, **more):  # type: ignore[no-untyped-def]
        return digest_stream(*arguments, copy=copy and Full(), **more)

    monkeypatch.setattr(digests, "digest_stream", filling)
    with pytest.raises(DiskFullError, match="No space left on device"):
        store.copy_out("r@1", tmp_path / "out", jobs=2)
    assert not (tmp_path / "out").exists()


def test_one_of_many_small_files_that_changes_while_they_are_read_is_told(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    for number in range(20):
        (given / f"{number:02}").write_bytes(random.Random(number).randbytes(SMALL))
    small = CheckpointStore(tmp_path / "small", cache=False)
    saved = small.save("r", 1, {"data": Files(given, "files")})
    changing = saved.path / "data" / "07"

    def change(count: int) -> None:
        changing.write_bytes(changing.read_bytes())  # the same again: only its times tell

    report = small.verify("r", level="digest", on_bytes=change)
    assert [(one.code, one.file) for one in report.checkpoints[0].problems] == [("file-changed", "data/07")]
    flip(small, 12)
    assert found(small, 2) == [("digest-mismatch", "data/12")]
