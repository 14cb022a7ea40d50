"""Array files: plain numbers only, exactly as many as the header claims, and no header that does anything."""

import io
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ckptkit.formats.kinds import look_into_bytes, look_into_file
from ckptkit.problem import Problem


def npy(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(array), **options)
    return buffer.getvalue()


def with_header(text: str, data: bytes = b"") -> bytes:
    header = text.encode("latin-1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def found(data: bytes) -> list[tuple[str, str]]:
    return [(p.code, p.severity) for p in look_into_bytes(data, file="x.npy", kind="npy")]


def codes(problems: list[Problem]) -> list[str]:
    return [problem.code for problem in problems]


@pytest.mark.parametrize(
    "array",
    [
        np.ones(3),
        np.float32(1),
        np.zeros((0, 3)),
        np.asfortranarray(np.ones((2, 3), np.int8)),
        np.array([True]),
        np.array(["text", "te"]),
        np.array([b"bytes"]),
        np.arange(4).astype("M8[s]"),
        np.arange(4).astype("m8[25ns]"),
        np.ones(2, np.complex128),
        np.ones(2, np.longdouble),
        np.zeros(2, "V7"),
        np.zeros(2, [("a", "<i4"), ("b", "<f8", (2, 3)), ("c", [("d", "?"), ("e", "U3")])]),
        np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    ],
)
def test_what_numpy_writes_has_no_problems(array: Any) -> None:
    assert found(npy(array)) == []


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_all_versions_of_the_format_are_read(version: tuple[int, int]) -> None:
    assert found(npy(np.ones(5), version=version)) == []


@pytest.mark.parametrize(
    "array",
    [
        np.array([object()], dtype=object),
        np.zeros(1, [("a", "i4"), ("b", "O")]),
        np.zeros(1, [("a", [("b", [("c", "O")])])]),
        np.zeros(1, [("a", "O", (2,))]),
    ],
)
def test_objects_are_told(array: Any) -> None:
    try:
        data = npy(array)
    except (TypeError, AttributeError):  # cannot be pickled: the header is what counts
        data = with_header(repr({"descr": array.dtype.descr, "fortran_order": False, "shape": (1,)}))
    assert found(data)[0] == ("npy-object-dtype", "warning")


@pytest.mark.parametrize(
    "shape",
    [
        "(1099511627776, 1099511627776)",
        "(-1,)",
        "(2.0,)",
        "(True,)",
        "[3]",
        "3",
        "('3',)",
        "(" + "1," * 65 + ")",
        "(4,)",
    ],
)
def test_a_shape_that_is_none_or_another_is_damage(shape: str) -> None:
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': " + shape + "}"
    assert found(with_header(header, bytes(24))) == [("npy-damaged", "error")]


@pytest.mark.parametrize(
    "header",
    [
        "__import__('os').system('touch canary')",
        "{'descr': __import__('os').system('touch canary'), 'fortran_order': False, 'shape': ()}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), 'extra': 1}",
        "{'descr': '<f8', 'shape': (3,)}",
        "{'descr': 'evil', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '<f99999999999999999999', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': ['<f8'], 'fortran_order': False, 'shape': (3,)}",
        "{'descr': " + "[('a'," * 60 + "'<f8'" + ")]" * 60 + ", 'fortran_order': False, 'shape': (3,)}",
        "(" * 9000,
        "[" * 100 + "]" * 100,
        "9" * 9000,
        "'\\d'",
        "",
    ],
)
def test_a_header_that_is_no_description_is_damage_and_runs_nothing(
    header: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert found(with_header(header, bytes(24))) == [("npy-damaged", "error")]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [0, 3, 7, 9, 50, 128, 151])
def test_a_truncated_array_is_damage(cut: int) -> None:
    assert found(npy(np.ones(3))[:cut]) == [("npy-damaged", "error")]


def test_bytes_after_the_array_are_damage() -> None:
    assert found(npy(np.ones(3)) + b"x") == [("npy-damaged", "error")]


def test_an_unknown_version_and_a_giant_header_are_damage() -> None:
    data = npy(np.ones(3))
    assert found(data[:6] + b"\x09" + data[7:]) == [("npy-damaged", "error")]
    assert found(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1)) == [("npy-damaged", "error")]


def test_an_npz_of_numpy_has_no_problems(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones(3), y=np.zeros((2, 2), "i4"))
    np.savez_compressed(tmp_path / "b.npz", x=random.Random(0).randbytes(100), flags=np.zeros(3_000_000, bool))
    assert look_into_file(tmp_path / "a.npz", file="a.npz") == []
    assert look_into_file(tmp_path / "b.npz", file="b.npz") == []


def test_an_object_array_in_an_npz_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", fine=np.ones(3), evil=np.array([{}], dtype=object))
    (problem,) = look_into_file(tmp_path / "a.npz", file="a.npz")
    assert (problem.code, problem.severity) == ("npy-object-dtype", "warning")
    assert problem.message.startswith("evil.npy: ")


def test_an_npz_with_a_huge_shape_is_damage(tmp_path: Path) -> None:
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,)}"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", with_header(header, bytes(24)))
    assert codes(look_into_file(tmp_path / "a.npz", file="a.npz")) == ["npy-damaged"]


def test_a_member_that_is_no_array_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", npy(np.ones(3)))
        archive.writestr("run.sh", b"#!/bin/sh")
    (problem,) = look_into_file(tmp_path / "a.npz", file="a.npz", kind="npz")
    assert (problem.code, problem.message) == ("npz-unknown-member", "run.sh: is not an array")


def test_every_flipped_bit_in_an_npz_payload_is_found(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.arange(50.0))
    good = (tmp_path / "a.npz").read_bytes()
    start = good.index(b"\x93NUMPY")
    for place in range(start, start + 128 + 400, 7):
        data = bytearray(good)
        data[place] ^= 4
        (tmp_path / "b.npz").write_bytes(data)
        assert look_into_file(tmp_path / "b.npz", file="b.npz")


def test_no_zip_is_damage(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(npy(np.ones(3)))
    assert codes(look_into_file(tmp_path / "a.npz", file="a.npz", kind="npz")) == ["zip-damaged"]
