"""The header reader: every broken rule of the format is found, without the library and without reading tensors."""

import json
import os
import struct
import tracemalloc
from pathlib import Path

import pytest
from ckptkit_safetensors import SafetensorsBackend

from ckptkit.backend import CheckContext

FILE = "policy.safetensors"


def raw(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def one(name: str = "w", data: bytes = bytes(8), **fields: object) -> bytes:
    info = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **fields}
    return raw(json.dumps({name: info}).encode(), data)


def many(*infos: tuple[list[int], list[int]], data: int) -> bytes:
    fields = {f"t{i}": {"dtype": "U8", "shape": shape, "data_offsets": o} for i, (shape, o) in enumerate(infos)}
    return raw(json.dumps(fields).encode(), bytes(data))


GOOD = one()
ATTACKS = {
    "empty file": b"",
    "seven bytes": b"1234567",
    "length only": struct.pack("<Q", 10),
    "length 0": raw(b""),
    "length 2**64-1": raw(b"{}", length=2**64 - 1),
    "length 2**63": raw(b"{}", length=2**63),
    "length over the cap": raw(b"{}", length=17 << 20),
    "length beyond the file": raw(b"{}", length=3),
    "length too short": raw(b'{"a":1}', length=3),
    "leading space": raw(b" {}"),
    "byte order mark": raw(b"\xef\xbb\xbf{}"),
    "not UTF-8": raw(b'{"\xff":1}'),
    "a list": raw(b"[]"),
    "a number": raw(b"12"),
    "trailing garbage in the header": raw(b"{}x"),
    "deep nesting": raw(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "deep objects": raw(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "pickle": b"\x80\x04\x95" + bytes(40),
    "HTML": b"<!DOCTYPE html><html><body>404</body></html>",
    "zip": b"PK\x03\x04" + bytes(60),
    "double tensor": raw(b'{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"w":{}}'),
    "double field": raw(b'{"w":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
    "escaped double tensor": raw(b'{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\\u0077":{}}'),
    "double metadata key": raw(b'{"__metadata__":{"a":"1","a":"2"}}'),
    "metadata not an object": raw(b'{"__metadata__":[]}'),
    "metadata null": raw(b'{"__metadata__":null}'),
    "metadata value a number": raw(b'{"__metadata__":{"a":1}}'),
    "metadata key with escape codes": raw(b'{"__metadata__":{"\\u001b[2J":"x"}}'),
    "NaN": raw(b'{"w":NaN}'),
    "tagged number": raw(b'{"w":{"dtype":"U8","shape":[{"$number":"0"}],"data_offsets":[0,0]}}'),
    "name with escape codes": one("\x1b[31mred"),
    "name with a line break": one("a\nb"),
    "name with a NUL": one("a\x00b"),
    "name that turns the text around": one("a\u202eb"),
    "name with a lone surrogate": raw(b'{"\\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
    "empty name": one(""),
    "path as a name": one("../../etc/passwd"),
    "absolute path as a name": one("/etc/passwd"),
    "info is a list": raw(b'{"w":[]}'),
    "info without shape": raw(b'{"w":{"dtype":"U8","data_offsets":[0,0]}}'),
    "info with another field": one(extra=1),
    "unknown dtype": one(dtype="F33"),
    "dtype a list": one(dtype=["F32"]),
    "dtype with escape codes": one(dtype="\x1b]0;x\x07"),
    "shape a number": one(shape=2),
    "negative shape": one(shape=[-2]),
    "shape of floats": one(shape=[2.0]),
    "shape of booleans": one(shape=[True, 2]),
    "shape of text": one(shape=["2"]),
    "shape that overflows": one(shape=[2**62, 4], data_offsets=[0, 0], data=b""),
    "zero-size shape that overflows": one(shape=[0, 2**62, 2**62], data_offsets=[0, 0], data=b""),
    "shape of 30 digits": raw(b'{"w":{"dtype":"U8","shape":[' + b"9" * 30 + b'],"data_offsets":[0,0]}}'),
    "shape of 100,000 digits": raw(b'{"w":{"dtype":"U8","shape":[' + b"9" * 100_000 + b'],"data_offsets":[0,0]}}'),
    "rank 65": one(shape=[1] * 65 + [2]),
    "shape larger than the bytes": one(shape=[3]),
    "shape smaller than the bytes": one(shape=[1]),
    "offsets swapped": one(data_offsets=[8, 0]),
    "offsets negative": one(data_offsets=[-8, 0]),
    "one offset": one(data_offsets=[8]),
    "offsets beyond the file": one(data_offsets=[8, 16]),
    "half a byte": one(dtype="F4", shape=[3], data_offsets=[0, 1], data=b"1"),
    "a hole at the start": many(([4], [4, 8]), data=8),
    "a hole between": many(([4], [0, 4]), ([2], [6, 8]), data=8),
    "an overlap": many(([4], [0, 4]), ([4], [2, 6]), data=6),
    "the same bytes twice": many(([4], [0, 4]), ([4], [0, 4]), data=4),
    "bytes after the last tensor": one(data=bytes(9)),
    "the last byte missing": one(data=bytes(7)),
    "no data": one(data=b""),
    "a record that is not JSON": raw(b'{"__metadata__":{"ckptkit":"{"}}'),
    "a record that is a list": raw(b'{"__metadata__":{"ckptkit":"[]"}}'),
    "a tie to nowhere": raw(b'{"__metadata__":{"ckptkit":"{\\"aliases\\":{\\"a\\":\\"b\\"}}"}}'),
    "a component list of another type": raw(b'{"__metadata__":{"ckptkit":"{\\"components\\":[1]}"}}'),
}


def problems(folder: Path, *files: str) -> list[str]:
    context = CheckContext(files=files or (FILE,))
    return [f"{p.file}: {p.message}" for p in SafetensorsBackend().check(folder, context=context)]


@pytest.mark.parametrize("content", ATTACKS.values(), ids=ATTACKS.keys())
def test_a_broken_file_is_one_problem_in_printable_text_and_little_memory(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content)
    tracemalloc.start()
    try:
        found = problems(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) == 1
    assert found[0].isprintable()
    assert len(found[0]) < 400
    assert peak < 20 << 20


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        raw(b"{}"),
        raw(b"{}      "),
        one(shape=[], dtype="F64"),
        one(shape=[0, 2**40], data_offsets=[0, 0], data=b""),
        one(dtype="F4", shape=[16]),
        one("params/dense/kernel"),
        one("模型.weight"),
        many(([0], [0, 0]), ([4], [0, 4]), ([0], [4, 4]), ([2], [4, 6]), data=6),
        raw(b'{"__metadata__":{"format":"pt","note":"two\\nlines"}}'),
    ],
)
def test_a_legal_file_has_no_problem(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert problems(tmp_path) == []


def test_every_truncation_is_found(tmp_path: Path) -> None:
    for length in range(len(GOOD)):
        (tmp_path / FILE).write_bytes(GOOD[:length])
        assert problems(tmp_path), length


def test_a_huge_file_is_checked_by_its_header_alone(tmp_path: Path) -> None:
    size = 1 << 40
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with (tmp_path / FILE).open("wb") as stream:
        stream.write(raw(header))
        stream.truncate(8 + len(header) + size)
    assert problems(tmp_path) == []


def test_a_link_a_folder_and_a_pipe_are_problems(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(GOOD)
    (tmp_path / "a.safetensors").symlink_to(tmp_path / "real")
    (tmp_path / "b.safetensors").mkdir()
    os.mkfifo(tmp_path / "c.safetensors")
    (tmp_path / FILE).write_bytes(GOOD)
    found = problems(tmp_path, FILE, "a.safetensors", "b.safetensors", "c.safetensors", "gone.safetensors")
    assert len(found) == 4


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"a":1', b'{"a":1,"a":2}', b'{"a":NaN}', b"\xff", b'{"a":"\\ud800"}']
)
def test_a_config_that_is_not_strict_json_is_a_problem(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(GOOD)
    (tmp_path / "preprocessor_config.json").write_bytes(content)
    assert len(problems(tmp_path, FILE, "preprocessor_config.json")) == 1


def test_a_nan_in_a_log_of_the_trainer_is_only_a_warning(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(GOOD)
    (tmp_path / "trainer_state.json").write_bytes(b'{"loss": NaN}')
    context = CheckContext(files=(FILE, "trainer_state.json"))
    assert [p.severity for p in SafetensorsBackend().check(tmp_path, context=context)] == ["warning"]
