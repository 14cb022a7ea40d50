"""Zip files: everything two readers could understand differently is found, and nothing is extracted."""

import io
import random
import stat
import struct
import warnings
import zipfile
from pathlib import Path

import pytest

from ckptkit.errors import DamagedError
from ckptkit.formats.zips import check_zip, read_member
from ckptkit.problem import Problem


def zip_of(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:  # zipfile warns of duplicate names, and writes them
            archive.writestr(name, data, method)
    return buffer.getvalue()


def codes(problems: list[Problem]) -> list[str]:
    return [problem.code for problem in problems]


def check(data: bytes, **options: int) -> list[Problem]:
    return check_zip(data, file="agent.zip", **options)


PLAIN = zip_of(("a", b"hello"), ("b/c", b"x" * 5000))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_sound_zip_has_no_problems(tmp_path: Path, method: int) -> None:
    path = tmp_path / "agent.zip"
    path.write_bytes(zip_of(("a", b"hello"), ("b/c", random.Random(0).randbytes(3 << 20)), ("d/", b""), method=method))
    assert check_zip(path, file="agent.zip") == []


def test_a_zip_written_to_a_pipe_has_no_problems() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"hello" * 100)
        with archive.open("big", "w", force_zip64=True) as member:
            member.write(b"x" * 5000)
    assert check(pipe.getvalue()) == []


def test_an_empty_zip_has_no_problems() -> None:
    assert check(zip_of()) == []


@pytest.mark.parametrize("data", [b"", b"PK", b"<html>not found</html>" * 10, PLAIN[:-1], PLAIN[:-30], PLAIN[:40]])
def test_no_zip_or_a_truncated_one_is_damage(data: bytes) -> None:
    assert codes(check(data)) == ["zip-damaged"]


@pytest.mark.parametrize("data", [PLAIN + b"x", b"#!/bin/sh\n" + PLAIN, PLAIN + PLAIN])
def test_data_around_a_zip_is_found(data: bytes) -> None:
    assert codes(check(data)) == ["zip-hidden-data"]


@pytest.mark.parametrize("comment", [b"a comment that some readers take for data", b"PK\x05\x06 another end", b"x"])
def test_a_comment_is_refused(comment: bytes) -> None:
    buffer = io.BytesIO(PLAIN)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = comment
    assert codes(check(buffer.getvalue())) in (["zip-hidden-data"], ["zip-damaged"])


def test_data_between_members_is_found() -> None:
    second = PLAIN.index(b"PK\x03\x04", 4)
    data = bytearray(PLAIN[:second] + b"payload!" + PLAIN[second:])
    directory = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, data.index(b"PK\x01\x02", directory + 4) + 42, second + 8)
    struct.pack_into("<I", data, len(data) - 6, directory)
    assert codes(check(bytes(data))) == ["zip-hidden-data"]


def test_two_members_of_one_name_are_refused() -> None:
    problems = check(zip_of(("data", b"benign"), ("data", b"hostile")))
    assert [(p.code, p.severity) for p in problems] == [("zip-duplicate-member", "unsafe")]


def test_names_that_differ_only_in_case_are_duplicates() -> None:
    assert codes(check(zip_of(("data", b"benign"), ("DATA", b"hostile")))) == ["zip-duplicate-member"]


@pytest.mark.parametrize(
    "name",
    ["../up", "a/../../up", "/etc/passwd", "C:evil", "a\\b", "..\\up", "a//b", "a/./b", "\x1b[31mred", "bi\u202edi"],
)
def test_a_name_that_leaves_the_folder_is_unsafe(tmp_path: Path, name: str) -> None:
    problems = check(zip_of((name, b"x")))
    assert [(p.code, p.severity) for p in problems] == [("zip-unsafe-name", "unsafe")]
    assert problems[0].message.isprintable()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_symlink_or_a_device_is_unsafe(kind: int) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (kind | 0o777) << 16
    problems = check(zip_of((link, b"/etc/passwd")))
    assert [(p.code, p.severity) for p in problems] == [("zip-special-member", "unsafe")]


def test_an_encrypted_member_is_refused() -> None:
    data = bytearray(PLAIN)
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert codes(check(bytes(data))) == ["zip-encrypted"]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_rare_compression_is_refused(method: int) -> None:
    assert codes(check(zip_of(("a", b"x" * 100), method=method))) == ["zip-unsupported"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_bit_in_the_content_is_found(method: int) -> None:
    data = bytearray(zip_of(("a", random.Random(1).randbytes(1000)), method=method))
    data[500] ^= 1
    assert set(codes(check(bytes(data)))) <= {"zip-bad-crc", "zip-damaged"}
    assert check(bytes(data))


@pytest.mark.parametrize(("offset", "what"), [(8, "method"), (14, "crc"), (18, "size"), (30, "name")])
def test_headers_that_differ_are_found(offset: int, what: str) -> None:
    data = bytearray(PLAIN)
    data[offset] ^= 1
    assert "zip-header-mismatch" in codes(check(bytes(data))), what


def test_a_second_name_in_an_extra_field_is_refused() -> None:
    member = zipfile.ZipInfo("data")
    member.extra = struct.pack("<HH", 0x7075, 9) + b"\x01\0\0\0\0evil"
    assert codes(check(zip_of((member, b"x")))) == ["zip-header-mismatch"]


def test_overlapping_members_are_refused_without_reading_them() -> None:
    """All entries point at one member, as in the bombs that unpack 42 kB to 5 GB."""
    data = bytearray(zip_of(*((f"{i:03d}", b"same") for i in range(100))))
    place = data.index(b"PK\x01\x02")
    for _ in range(100):
        struct.pack_into("<I", data, place + 42, 0)
        place = data.find(b"PK\x01\x02", place + 4)
    assert "zip-overlap" in codes(check(bytes(data)))


def test_a_bomb_is_refused() -> None:
    problems = check(zip_of(("zeros", bytes(8 << 20)), method=zipfile.ZIP_DEFLATED))
    assert codes(problems) == ["zip-bomb"]


def test_a_bomb_that_lies_about_its_size_is_refused() -> None:
    data = bytearray(zip_of(("zeros", bytes(8 << 20)), method=zipfile.ZIP_DEFLATED))
    struct.pack_into("<I", data, 22, 1000)
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 1000)
    assert codes(check(bytes(data))) == ["zip-damaged"]


def test_a_bomb_of_many_small_members_is_refused() -> None:
    members = [(f"{i}", bytes(1 << 20)) for i in range(300)]
    assert codes(check(zip_of(*members, method=zipfile.ZIP_DEFLATED))) == ["zip-bomb"]


def test_the_caps_can_be_set() -> None:
    assert codes(check(PLAIN, max_members=1)) == ["zip-too-large"]


def test_a_flip_anywhere_never_raises_and_a_flip_in_content_or_directory_is_found() -> None:
    rng = random.Random(2)
    for place in range(len(PLAIN)):
        data = bytearray(PLAIN)
        data[place] ^= 1 << rng.randrange(8)
        problems = check(bytes(data))
        # Dates, versions and permissions may say what they like.
        assert problems or zipfile.ZipFile(io.BytesIO(data)).read("a") == b"hello"


def test_a_symbolic_link_to_a_zip_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real.zip").write_bytes(PLAIN)
    (tmp_path / "link.zip").symlink_to("real.zip")
    assert codes(check_zip(tmp_path / "link.zip", file="link.zip")) == ["zip-damaged"]


def test_a_missing_file_is_a_problem_and_not_an_exception(tmp_path: Path) -> None:
    (problem,) = check_zip(tmp_path / "gone.zip", file="gone.zip")
    assert problem.code == "zip-damaged"
    assert str(tmp_path) not in problem.message


def test_problems_in_a_zip_inside_another_say_where() -> None:
    (problem,) = check_zip(b"no zip at all, but long enough", file="agent.zip", where="policy.pth")
    assert problem.message.startswith("policy.pth: ")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_is_read(tmp_path: Path, method: int) -> None:
    path = tmp_path / "agent.zip"
    path.write_bytes(zip_of(("a", b"hello"), ("b", b"x" * (3 << 20)), method=method))
    assert read_member(path, "a", max_bytes=100) == b"hello"
    assert read_member(path, "b", max_bytes=3 << 20) == b"x" * (3 << 20)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (zip_of(("b", b"")), "is missing"),
        (zip_of(("a", b"1"), ("a", b"2")), "is there 2 times"),
        (zip_of(("a", b"x" * 101)), "is too large"),
        (zip_of(("a", b"hello")).replace(b"hello", b"jello"), "wrong CRC"),
        (b"", "is empty"),
        (b"PK\x03\x04" + bytes(100), "not a zip"),
    ],
)
def test_reading_a_member_fails_with_the_reason(tmp_path: Path, data: bytes, why: str) -> None:
    path = tmp_path / "agent.zip"
    path.write_bytes(data)
    with pytest.raises(DamagedError, match=why):
        read_member(path, "a", max_bytes=100)
