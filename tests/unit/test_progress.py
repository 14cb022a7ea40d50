"""How far a save, a verification or a copy is: bytes done, bytes in all where that is known, and a rate."""

import os
import pty
import random
import subprocess
import sys
from pathlib import Path

import pytest

from ckptkit import CheckpointStore, Files, NotFoundError
from ckptkit.progress import Meter, Progress

SIZE = 5 << 19  # two and a half blocks


def store_with_files(folder: Path) -> CheckpointStore:
    store = CheckpointStore(folder / "s", cache=False)
    for step in (1, 2):
        (folder / f"data{step}").write_bytes(os.urandom(SIZE))
        store.save("r", step, {"data": Files(folder / f"data{step}", "files")})
    return store


def told(seen: list[Progress]) -> list[tuple[str, str, int, int | None]]:
    return [(one.doing, one.of, one.done, one.total) for one in seen]


def test_a_save_of_files_knows_how_much_there_is(tmp_path: Path) -> None:
    seen: list[Progress] = []
    blocks: list[int] = []
    (tmp_path / "data").write_bytes(b"x" * SIZE)
    store = CheckpointStore(tmp_path / "s", cache=False)
    items = {"data": Files(tmp_path / "data", "files")}
    store.save("r", 1, items, on_progress=seen.append, on_bytes=blocks.append)
    assert told(seen) == [("save", "r@1", done, SIZE) for done in (1 << 20, 2 << 20, SIZE)]
    assert sum(blocks) == SIZE
    assert all(one.rate == one.done / one.seconds for one in seen)


def test_a_save_of_live_objects_does_not_say_how_much_there_will_be(tmp_path: Path) -> None:
    seen: list[Progress] = []
    CheckpointStore(tmp_path, cache=False).save("r", 1, {"rng": random.Random(1)}, on_progress=seen.append)
    assert seen
    assert {one.total for one in seen} == {None}


def test_a_verification_counts_to_the_size_of_all_that_it_reads(tmp_path: Path) -> None:
    seen: list[Progress] = []
    store_with_files(tmp_path).verify("r", on_progress=seen.append)
    assert told(seen)[-1] == ("verify", "", 2 * SIZE, 2 * SIZE)
    assert [one.done for one in seen] == sorted({one.done for one in seen})


def test_a_damaged_manifest_counts_nothing(tmp_path: Path) -> None:
    store = store_with_files(tmp_path)
    (tmp_path / "s" / "r" / "step-00000001" / "manifest.json").write_text("{")
    seen: list[Progress] = []
    assert not store.verify("r", on_progress=seen.append).checkpoints[0].good
    assert told(seen)[-1][2:] == (SIZE, SIZE)


def test_a_copy_counts_to_the_size_of_the_checkpoint(tmp_path: Path) -> None:
    seen: list[Progress] = []
    store_with_files(tmp_path).copy_out("r", tmp_path / "out", on_progress=seen.append)
    assert told(seen)[-1] == ("restore", "r@2", SIZE, SIZE)


def test_what_on_progress_raises_ends_a_save_that_then_commits_nothing(tmp_path: Path) -> None:
    def stop(now: Progress) -> None:
        raise KeyboardInterrupt

    store = CheckpointStore(tmp_path, cache=False)
    with pytest.raises(KeyboardInterrupt):
        store.save("r", 1, {"rng": random.Random(1)}, on_progress=stop)
    with pytest.raises(NotFoundError):
        store.locate("r")


def test_nobody_is_asked_how_much_there_is_where_nobody_watches() -> None:
    assert not Meter("verify", on_bytes=lambda count: None).watched


BAR = """
import time
from ckptkit.cli.progress import progress_bar
from ckptkit.progress import Progress
with progress_bar(quiet=False) as show:
    for part in range(1, 4):
        show(Progress(doing="save", of="r@1", done=part << 20, total=4 << 20, seconds=2.0))
        time.sleep(0.3)
"""


def test_the_bar_of_a_terminal_shows_the_total_and_a_rate() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    done = subprocess.run([sys.executable, "-c", BAR], stderr=theirs, env=environment, timeout=120)
    os.close(theirs)
    text = b""
    try:
        while block := os.read(ours, 65536):
            text += block
    except OSError:  # how Linux says that nobody writes there any more
        pass
    os.close(ours)
    assert done.returncode == 0
    assert b"save r@1" in text
    assert b"/4.2 MB" in text
    assert b"MB/s" in text
