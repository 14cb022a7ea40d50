"""Any change of any file of a checkpoint with all four kinds of state is found, and the right file is named."""

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import four_kinds
import pytest
from flipping import flip, named

from ckptkit.storage import Entry, open_storage
from ckptkit.verification import CheckpointReport, Level, Verifier

PLACES = 200


def checkpoint(store: Path) -> Entry:
    return next(at for at in open_storage(store).scan(four_kinds.RUN) if at.step == 20)


def verify(at: Entry, level: Level = "format") -> CheckpointReport:
    return Verifier(level).verify(at)


def payload(at: Entry) -> list[Path]:
    return sorted(p for p in at.folder.rglob("*") if p.is_file() and p != at.manifest)


def test_the_untouched_checkpoint_verifies_and_has_files_of_all_four_kinds(four_kinds_store: Path) -> None:
    report = verify(checkpoint(four_kinds_store))
    assert report.good
    assert report.problems == []
    assert report.manifest is not None
    assert {name: item.backend for name, item in report.manifest.items.items()} == four_kinds.ITEMS


@pytest.mark.parametrize("level", ["digest", "format"])
def test_200_of_200_flipped_bits_are_found_and_the_file_is_named(four_kinds_store: Path, level: Level) -> None:
    at = checkpoint(four_kinds_store)
    files = payload(at)
    sizes = [path.stat().st_size for path in files]
    chance = random.Random(20)
    # every file at least once, the rest where the bytes are
    chosen = [*files, *chance.choices(files, sizes, k=PLACES - len(files))]
    missed = []
    for path in chosen:
        bit = chance.randrange(path.stat().st_size * 8)
        flip(path, bit)
        report = verify(at, level)
        if report.good or named(report) != {path.relative_to(at.folder).as_posix()}:
            missed.append((path.name, bit, report.problems))
        flip(path, bit)
    assert len(chosen) == PLACES
    assert missed == []
    assert verify(at).good


def test_100_of_100_flipped_bits_of_the_manifest_are_found(four_kinds_store: Path) -> None:
    at = checkpoint(four_kinds_store)
    chance = random.Random(100)
    missed = []
    for _ in range(100):
        bit = chance.randrange(at.manifest.stat().st_size * 8)
        flip(at.manifest, bit)
        if verify(at, "presence").good:
            missed.append(bit)
        flip(at.manifest, bit)
    assert missed == []


def _truncate_by_one(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _append(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"\0")


def _delete(path: Path) -> None:
    path.unlink()


def _link(path: Path) -> None:
    kept = path.parent.parent.parent / "outside"
    shutil.move(path, kept)
    path.symlink_to(kept)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated by one byte": (_truncate_by_one, "file-size"),
    "emptied": (_empty, "file-size"),
    "one byte appended": (_append, "file-size"),
    "deleted": (_delete, "file-missing"),
    "replaced by a link": (_link, "file-irregular"),
    "replaced by a FIFO": (_fifo, "file-irregular"),
    "replaced by a folder": (_folder, "file-irregular"),
    "replaced by a link to /dev/zero": (_device, "file-irregular"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_is_found_on_every_level_when_it_is(change: str, four_kinds_store: Path) -> None:
    act, code = CHANGES[change]
    at = checkpoint(four_kinds_store)
    for path in payload(at):
        copy = replace(at, name="step-00000020-kept")
        shutil.copytree(at.folder, copy.folder)
        act(path)
        for level in ("presence", "digest", "format"):
            report = verify(at, level)  # type: ignore[arg-type]  # the levels by name
            found = {(p.file, p.code) for p in report.problems}
            assert (path.relative_to(at.folder).as_posix(), code) in found
            assert not report.good
        shutil.rmtree(at.folder)
        (at.folder.parent / "outside").unlink(missing_ok=True)
        copy.folder.rename(at.folder)


def test_a_zeroed_block_of_the_same_size_is_found(four_kinds_store: Path) -> None:
    at = checkpoint(four_kinds_store)
    path = at.folder / "agent" / "model.zip"
    data = bytearray(path.read_bytes())
    data[4096:8192] = bytes(4096)
    path.write_bytes(data)
    assert named(verify(at, "digest")) == {"agent/model.zip"}


def test_two_files_that_were_swapped_are_both_named(four_kinds_store: Path) -> None:
    at = checkpoint(four_kinds_store)
    one, two = at.folder / "policy" / "policy.safetensors", at.folder / "policy" / "optimizer_state.pth"
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)
    assert named(verify(at)) == {"policy/policy.safetensors", "policy/optimizer_state.pth"}


def test_two_files_of_equal_size_that_were_swapped_are_both_named(four_kinds_store: Path) -> None:
    one, two = (at.folder / "rng" / "rng.json" for at in open_storage(four_kinds_store).scan(four_kinds.RUN))
    assert one.stat().st_size == two.stat().st_size, "the states are written with the same number of digits"
    one.rename(one.with_name("kept"))
    two.rename(one)
    one.with_name("kept").rename(two)
    for at in open_storage(four_kinds_store).scan(four_kinds.RUN):
        assert named(verify(at)) == {"rng/rng.json"}


@pytest.mark.parametrize("extra", ["stray", "policy/stray", "new/folder/stray", "policy/.hidden"])
def test_a_file_that_is_not_in_the_manifest_is_found(extra: str, four_kinds_store: Path) -> None:
    at = checkpoint(four_kinds_store)
    (at.folder / extra).parent.mkdir(parents=True, exist_ok=True)
    (at.folder / extra).write_text("x")
    report = verify(at, "presence")
    assert [(p.code, p.file) for p in report.problems] == [("file-extra", extra)]


def test_all_damaged_files_are_named_not_only_the_first(four_kinds_store: Path) -> None:
    at = checkpoint(four_kinds_store)
    for path in payload(at):
        flip(path, 8)
    assert named(verify(at)) == {path.relative_to(at.folder).as_posix() for path in payload(at)}


def test_a_folder_nested_without_end_ends_no_verification(four_kinds_store: Path) -> None:
    at = checkpoint(four_kinds_store)
    start = os.open(at.folder, os.O_RDONLY)
    here = os.dup(start)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open("stray", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    os.close(start)
    try:
        assert not verify(at).good
    finally:  # Python's own rmtree recurses
        subprocess.run(["rm", "-rf", str(at.folder)], check=True)
