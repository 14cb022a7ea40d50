"""How far a save, a verification or a copy is: bytes done, bytes in all where that is known, and a rate."""

import random
import re
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from terminal import at_terminal

from ckptkit import CheckpointStore, Files, NotFoundError, RetentionPolicy
from ckptkit.cli.progress import line, progress_bar
from ckptkit.progress import Meter, Progress

SIZE = 5 << 19  # two and a half blocks


def store_with_files(folder: Path) -> CheckpointStore:
    store = CheckpointStore(folder / "s", cache=False)
    for step in (1, 2):
        (folder / f"data{step}").write_bytes(random.Random(step).randbytes(SIZE))
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
    assert told(seen) == [("save", "r@1", done, SIZE) for done in [1 << 20, 2 << 20, SIZE]], (
        "copied and digested at once"
    )
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


def test_a_restore_verifies_what_it_copies_and_counts_each_byte_once(tmp_path: Path) -> None:
    seen: list[Progress] = []
    store_with_files(tmp_path).copy_out("r", tmp_path / "out", on_progress=seen.append)
    assert told(seen)[-1] == ("restore", "r", SIZE, SIZE)


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


def test_a_prune_counts_to_the_size_of_what_is_not_known_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPTKIT_CACHE", str(tmp_path / "cache"))
    store_with_files(tmp_path)
    CheckpointStore(tmp_path / "s").save("r", 3, {"data": Files(tmp_path / "data1", "files")})  # known since
    seen: list[Progress] = []
    store = CheckpointStore(tmp_path / "s")
    assert len(store.plan_prune(RetentionPolicy(keep_last=1), run="r", on_progress=seen.append).checkpoints) == 3
    assert told(seen)[-1] == ("prune", "r", 2 * SIZE, 2 * SIZE)


def test_a_total_that_was_too_low_is_not_shown() -> None:
    seen: list[Progress] = []
    meter = Meter("verify", on_progress=seen.append)
    meter.expect(10)
    meter(8)
    meter(8)
    assert told(seen) == [("verify", "", 8, 10), ("verify", "", 16, None)]


LONG = "experiments/2026-11/halfcheetah-v5/sac-lr3e-4@123456789"


@pytest.mark.parametrize("width", [27, 57, 77, 117, 197])
@pytest.mark.parametrize(("done", "total"), [(0, 10**12), (999_949_000, 999_951_000), (10**12, 10**12), (5, None)])
def test_the_line_never_wraps_and_its_numbers_are_whole(width: int, done: int, total: int | None) -> None:
    for seconds in (0.0, 1.5, 80_000.0):
        now = Progress(doing="save", of=LONG, done=done, total=total, seconds=seconds)
        text = line(now, width)
        assert cell_len(text) <= width
        label, _, numbers = text.partition("  ")
        assert label.endswith("@123456789")
        if total is not None:
            assert f"{int(done / total * 100)}%" in numbers
        if width >= 57:
            assert re.search(r"\d+(\.\d)? [kMGT]?B(?: of \d+\.\d [kMGT]B)?  \d+(\.\d)? [kMGT]?B/s", numbers), text


BAR = """
import time
from ckptkit.cli.progress import progress_bar
from ckptkit.progress import Progress
with progress_bar(quiet=False) as show:
    for part in range(1, 4):
        show(Progress(doing="save", of="r@1", done=part << 20, total=4 << 20, seconds=2.0))
        time.sleep(0.15)
print("done")
"""


def test_a_terminal_shows_one_line_that_is_cleared_in_the_end() -> None:
    seen = at_terminal(columns=60, program=[sys.executable, "-c", BAR])
    assert seen.code == 0
    shown = seen.raw.split("\r")
    assert len([text for text in shown if " of 4.2 MB" in text and "B/s" in text]) == 3
    assert all(cell_len(text.removesuffix("\x1b[K")) <= 57 for text in shown), "room for ^C"
    assert "\n" not in seen.raw.partition("done")[0]
    assert seen.raw.endswith("\r\x1b[Kdone\r\n")


def test_no_bar_in_a_pipe_nor_when_quiet(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with progress_bar(quiet=False) as show:
        assert show is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bar(quiet=True) as show:
        assert show is None
    with progress_bar(quiet=False) as show:
        assert show is not None
    assert capsys.readouterr().err == "", "nothing that was done in a second has a bar"
