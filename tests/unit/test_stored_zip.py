"""A zip of stored members, written through a file that cannot seek, is one for every reader; ours is the strictest."""

import io
import random
import shutil
import subprocess
import zipfile
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import pytest

from ckptkit.formats import zips
from ckptkit.formats.crc32 import crc32
from ckptkit.formats.stored_zip import StoredZip
from ckptkit.formats.zip_directory import read_local_header
from ckptkit.sink import Sink

DATA = random.Random(1).randbytes((5 << 19) + 3)  # two and a half blocks
MEMBERS = {"a": b"", "folder/b": b"x", "ä/ü": DATA, "d": DATA[:100]}


def written(path: Path, *, alignment: int = 1) -> Path:
    with Sink(path) as stream:
        archive = StoredZip(stream, alignment=alignment)
        for name, data in MEMBERS.items():
            archive.add(name, data)
        archive.finish()
    return path


def test_sums_are_those_of_zlib_piece_by_piece() -> None:
    assert crc32(memoryview(DATA)[7:], crc32(DATA[:7], 0)) == zlib.crc32(DATA)


@pytest.mark.parametrize("alignment", [1, 2, 5, 64])
def test_each_member_is_read_as_it_was_written(alignment: int, tmp_path: Path) -> None:
    path = written(tmp_path / "f.zip", alignment=alignment)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == MEMBERS
    assert zips.check_zip(path, file="f") == []


@pytest.mark.skipif(shutil.which("unzip") is None, reason="there is no unzip")
def test_unzip_finds_nothing_wrong(tmp_path: Path) -> None:
    subprocess.run(["unzip", "-tqq", written(tmp_path / "f.zip", alignment=64)], check=True)


def test_data_begins_where_it_was_asked_to(tmp_path: Path) -> None:
    path = written(tmp_path / "f.zip", alignment=64)
    with zips.opened(path) as (stream, length):
        starts = [read_local_header(stream, entry).data for entry in zips.list_members(stream, length)]
    assert [start % 64 for start in starts] == [0] * len(MEMBERS)


def test_equal_contents_are_equal_files(tmp_path: Path) -> None:
    assert written(tmp_path / "f").read_bytes() == written(tmp_path / "g").read_bytes()


def test_a_member_may_be_given_in_pieces(tmp_path: Path) -> None:
    stream = io.BytesIO()
    archive = StoredZip(stream)
    archive.add("a", DATA[:9], b"", memoryview(DATA)[9:])
    archive.finish()
    assert zipfile.ZipFile(stream).read("a") == DATA


class Sparse(BufferedIOBase):
    """A file in which zeros take no room."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("xb")

    def write(self, data: Any) -> int:
        if len(data) == 1 << 20:  # only whole blocks of zeros are as large here
            self.file.seek(len(data), 1)
            return len(data)
        return self.file.write(data)


def test_members_and_places_beyond_four_gibibytes_are_found(tmp_path: Path) -> None:
    stream, zeros = Sparse(tmp_path / "f.zip"), bytes(64 << 20)
    archive = StoredZip(stream, alignment=64)
    archive.add("large", *[zeros] * 65)
    archive.add("beyond", b"here")
    archive.finish()
    stream.file.close()
    with zipfile.ZipFile(tmp_path / "f.zip") as read:
        assert read.getinfo("large").file_size == len(zeros) * 65
        assert read.read("beyond") == b"here"
    with zips.opened(tmp_path / "f.zip") as (file, length):
        assert [entry.size for entry in zips.list_members(file, length)] == [len(zeros) * 65, 4]


def test_more_members_than_an_old_zip_can_count_are_found() -> None:
    stream = io.BytesIO()
    archive = StoredZip(stream)
    for number in range(0x10001):
        archive.add(str(number), b"")
    archive.finish()
    assert len(zipfile.ZipFile(stream).namelist()) == 0x10001
