"""Zips one behind the other, as torch.distributed.checkpoint writes them: each is looked into."""

import base64
import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp

from ckptkit import CheckpointStore
from ckptkit.formats.kinds import look_into_file
from ckptkit.problem import Problem
from ckptkit.store import Files

pytestmark = pytest.mark.filterwarnings("ignore")  # DCP warns that it saves without a process group


class Calls:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch canary",)


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def zipped(name: str, data: bytes, *more: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, content in ((name, data), *more):
            archive.writestr(member, content)
    return buffer.getvalue()


def check(folder: Path, data: bytes) -> list[Problem]:
    (folder / "__0_0.distcp").write_bytes(data)
    return look_into_file(folder / "__0_0.distcp", file="__0_0.distcp")


GOOD = saved({"a": torch.ones(3)})
BAD = saved([Calls()])


def test_a_folder_of_a_distributed_checkpoint_can_be_saved_and_verifies(tmp_path: Path) -> None:
    dcp.save({"w": torch.ones(3), "step": 3, "more": [1, 2]}, checkpoint_id=tmp_path / "dcp", no_dist=True)
    store = CheckpointStore(tmp_path / "store")
    store.save("dcp/run", 3, {"model": Files(tmp_path / "dcp", "files")})
    (checkpoint,) = store.verify().checkpoints
    assert checkpoint.problems == []


@pytest.mark.parametrize("parts", [[GOOD, GOOD], [GOOD, zipped("a.txt", b"text")], [GOOD] * 20], ids=len)
def test_honest_zips_give_no_finding(parts: list[bytes], tmp_path: Path) -> None:
    assert check(tmp_path, b"".join(parts)) == []


@pytest.mark.parametrize("place", range(3))
def test_a_call_in_any_of_them_is_found_and_placed(place: int, tmp_path: Path) -> None:
    parts = [GOOD, GOOD, GOOD]
    parts[place] = BAD
    (problem,) = check(tmp_path, b"".join(parts))
    assert problem.severity == "unsafe"
    assert problem.message.startswith(f"part {place}/")


@pytest.mark.parametrize(
    "data",
    [GOOD + b"x" + GOOD, GOOD + GOOD + b"x", GOOD + GOOD[:-1], GOOD[:-40] + GOOD, GOOD + GOOD + bytes(100)],
    ids=["between", "behind", "cut at the end", "cut in between", "more behind"],
)
def test_bytes_that_belong_to_none_of_them_are_an_error(data: bytes, tmp_path: Path) -> None:
    assert "error" in {problem.severity for problem in check(tmp_path, data)}


def agent_that_runs() -> bytes:
    """Return what Stable-Baselines3 loads with zipfile: a zip with a pickle in its JSON."""
    pickled = base64.b64encode(pickle.dumps(Calls())).decode()
    return zipped("data", json.dumps({"policy_class": {":type:": "x", ":serialized:": pickled}}).encode())


def adjusted(front: bytes, data: bytes) -> bytes:
    """Return a zip whose offsets count the bytes in front of it, as ``zip -A`` makes them."""
    buffer = io.BytesIO(front + data)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("more", b"")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"MZ" + agent_that_runs(),
        bytes(1000) + agent_that_runs(),
        b"text" + agent_that_runs()[:-2] + b"\x05\x00hello",
        b"text" + agent_that_runs() + b"more",
        adjusted(b"text", agent_that_runs()),
    ],
    ids=["behind two bytes", "behind zeros", "with a comment", "with bytes behind", "with adjusted offsets"],
)
def test_a_zip_at_the_end_of_anything_is_looked_into_or_refused(data: bytes, tmp_path: Path) -> None:
    assert "data" in zipfile.ZipFile(io.BytesIO(data)).namelist()
    assert {"unsafe", "error"} & {problem.severity for problem in check(tmp_path, data)}


def two_in_one() -> bytes:
    """Return two zips by whose last end record torch finds a third, which lies in a member of the first."""
    hidden = zipped("archive/data.pkl", pickle.dumps(Calls()), ("archive/version", b"3"))
    directory = hidden.index(b"PK\x01\x02")
    base = 30 + len("a.txt") + 2  # where the hidden zip begins in the file
    moved = bytearray(hidden[:-22])
    for entry, place in ((directory, 0), (directory + 46 + len("archive/data.pkl"), hidden.rindex(b"PK\x03\x04"))):
        moved[entry + 42 : entry + 46] = (base + place).to_bytes(4, "little")
    first = zipped("a.txt", b"N." + bytes(moved))
    padding = base + directory - 30 - len("archive/pad.text") - 30 - len("archive/versien") - 1
    last = zipped("archive/pad.text", bytes(padding), ("archive/versien", b"3"))
    assert last.index(b"PK\x01\x02") == base + directory
    return first + last


def test_an_end_record_by_which_readers_find_different_zips_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "both.pt").write_bytes(two_in_one())
    assert zipfile.ZipFile(tmp_path / "both.pt").namelist() == ["archive/pad.text", "archive/versien"]
    assert torch._C.PyTorchFileReader(str(tmp_path / "both.pt")).get_all_records() == ["data.pkl", "version"]
    assert "error" in {problem.severity for problem in check(tmp_path, two_in_one())}


def test_a_zip_without_members_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "state.npz"
    with zipfile.ZipFile(file, "w"):
        pass
    assert list(look_into_file(file, file=file.name)) == []
    file.write_bytes(b"x" * 40 + file.read_bytes())
    assert [problem.code for problem in look_into_file(file, file=file.name)] != []
