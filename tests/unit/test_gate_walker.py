"""The walker: what any loader would run is found, under every name, in every container, under every backend."""

import gzip
import io
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch

from benchmarks.gate_corpus import honest
from benchmarks.gate_corpus.payloads import payloads
from benchmarks.gate_corpus.placements import CONTAINERS, Placement, placements, torch_zip, write, zipped
from benchmarks.sparse_checkpoint import write as write_sparse
from ckptkit import CheckpointStore
from ckptkit.errors import UnsafeContentError
from ckptkit.formats.kinds import each_file_once, look_into_bytes, look_into_file
from ckptkit.problem import Problem
from ckptkit.store import Files

MARKER = "marker"
PLACES = {placement.label: placement for placement in placements(MARKER)}
PAYLOAD = payloads(MARKER)["protocol 2"]


@pytest.fixture(autouse=True)
def _nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / MARKER).exists(), "a payload ran"


def codes(problems: list[Problem]) -> set[tuple[str, str]]:
    return {(problem.code, problem.severity) for problem in problems}


def unsafe(data: bytes, name: str = "a.bin") -> list[str]:
    return [p.message for p in look_into_bytes(data, name=name, file=name) if p.severity == "unsafe"]


@pytest.mark.parametrize("container", [None, *CONTAINERS])
def test_a_payload_is_found_in_every_container_under_every_name(container: str | None, tmp_path: Path) -> None:
    there: list[Placement] = [p for p in PLACES.values() if p.label.startswith(f"files, {container or ''}")]
    assert there
    for number, placement in enumerate(there):
        folder = tmp_path / str(number)
        write(placement, folder)
        found = [p for name in placement.files for p in look_into_file(folder / name, file=name)]
        assert "unsafe" in {p.severity for p in found}, placement.label


@pytest.mark.parametrize(
    "label",
    [
        "files, torch zip as pytorch_model.bin: protocol 2",
        "files, a.dat: protocol 4 without PROTO",
        "policy folder, a: protocol 0",
        "policy folder, a.txt: INST",
        "agent, extra.pkl",
        "files, config.txt: a YAML tag",
    ],
)
def test_a_payload_is_refused_at_the_save_whatever_the_backend(label: str, tmp_path: Path) -> None:
    placement = PLACES[label]
    path = write(placement, tmp_path / "item")
    with pytest.raises(UnsafeContentError):
        CheckpointStore(tmp_path / "store").save("gate/run", 1, {"item": Files(path, placement.backend)})


@pytest.mark.parametrize("corpus", [honest.plain_binary, honest.every_first_byte, honest.like_pickles])
def test_data_that_is_no_pickle_gives_no_finding(corpus: Any, tmp_path: Path) -> None:
    folder, _ = corpus(tmp_path)
    assert [p for path in folder.iterdir() for p in look_into_file(path, file=path.name)] == []


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.ckpt", "weights"])
def test_the_form_of_torch_before_1_6_is_one_warning_under_any_name(name: str) -> None:
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(3, 4), "b": {"step": 7}}, buffer, _use_new_zipfile_serialization=False)
    assert codes(look_into_bytes(buffer.getvalue(), name=name, file=name)) == {("torch-legacy-format", "warning")}


def test_what_its_name_says_is_a_pickle_must_be_a_whole_one() -> None:
    whole = pickle.dumps({"a": [1.5] * 30})
    for name, data, expected in (
        ("a.pkl", whole[:-9], {("pickle-damaged", "error")}),
        ("a.pkl", whole + b"rest", {("pickle-trailing-data", "error")}),
        ("a.pkl", whole + whole, set()),
        ("a.bin", whole[:-9], set()),
        ("a.bin", whole + b"rest", set()),
    ):
        assert codes(look_into_bytes(data, name=name, file=name)) == expected


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_arrays_in_a_pickle_of_joblib_are_passed_over(compress: Any, tmp_path: Path) -> None:
    value = {
        "a": np.arange(1000.0),
        "b": np.float32(1),
        "c": np.zeros(3, [("x", "i4"), ("y", "U5")]),
        "d": np.array(["text"]),
        "e": np.array([{}, None], dtype=object),
        "f": np.zeros((0, 3)),
        "g": np.asfortranarray(np.ones((2, 3), ">i2")),
    }
    joblib.dump(value, tmp_path / "a.joblib", compress)
    wrapper = "joblib.numpy_pickle.NumpyArrayWrapper"
    assert [p.message for p in look_into_file(tmp_path / "a.joblib", file="a") if wrapper not in p.message] == []


def test_what_follows_an_array_of_unknown_length_is_told() -> None:
    state = b"}(X\x05\x00\x00\x00dtypeNX\x05\x00\x00\x00shape)ub"
    data = b"\x80\x02cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81" + state + bytes(40)
    assert ("not-looked-into", "warning") in codes(look_into_bytes(data, file="a"))


@pytest.mark.parametrize(
    "data",
    [b"7z\xbc\xaf\x27\x1c" + bytes(50), b"Rar!\x1a\x07\x01\x00" + bytes(50), b"\x28\xb5\x2f\xfd" + bytes(50)],
    ids=["7z", "rar", "zstd"],
)
def test_an_archive_that_is_not_read_is_one_warning(data: bytes) -> None:
    (problem,) = look_into_bytes(data, file="a.bin")
    assert (problem.code, problem.severity) == ("not-looked-into", "warning")
    assert problem.message.startswith("not looked into: ")


def test_an_archive_packed_as_a_whole_is_one_warning() -> None:
    (problem,) = look_into_bytes(gzip.compress(zipped({"a.txt": b"text"})), file="a.gz")
    assert (problem.code, problem.severity) == ("not-looked-into", "warning")


def test_packed_text_gives_no_finding() -> None:
    assert look_into_bytes(gzip.compress(b"step,loss\n1,0.5\n" * 1000), name="log.csv.gz", file="log.csv.gz") == []


def test_a_packed_pickle_in_several_pieces_is_followed() -> None:
    assert unsafe(gzip.compress(PAYLOAD[:7]) + gzip.compress(PAYLOAD[7:]))


def test_a_packed_bomb_costs_no_memory_and_is_told() -> None:
    blob = b"\x80\x04\x8e" + struct.pack("<Q", 2 << 30) + bytes(1 << 20)
    packed = zlib.compress(blob)  # claims more than is unpacked at most
    assert ("not-looked-into", "warning") in codes(look_into_bytes(packed, file="a.z"))


def test_a_zip_of_a_person_may_have_a_comment_or_a_member_that_is_not_read_here() -> None:
    for data in (zipped({"a.txt": b"x" * 99})[:-2] + b"\x05\x00hello", zipped({"a.txt": b"x" * 99}, zipfile.ZIP_BZIP2)):
        assert {p.severity for p in look_into_bytes(data, name="a.zip", file="a.zip")} == {"warning"}


def test_a_pickle_behind_more_than_16_mib_in_a_member_is_followed() -> None:
    big = b"\x80\x04\x8e" + struct.pack("<Q", 20 << 20) + bytes(20 << 20) + b"0" + PAYLOAD[2:]
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert unsafe(zipped({"a.txt": b"x", "b": big, "c": bytes(range(256)) * 1000}, method))


def test_raw_storages_are_data_and_other_members_of_that_folder_are_not() -> None:
    assert unsafe(torch_zip(b"", **{"data/0": PAYLOAD})) == []
    assert unsafe(torch_zip(b"", **{"data/1.pth": PAYLOAD}))


def test_a_file_that_backend_and_core_ask_for_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(PAYLOAD)
    with each_file_once():
        first = look_into_file(path, file="a.pkl")
        path.write_bytes(b"")
        assert look_into_file(path, file="a.pkl", kind="pickle") == first
    assert look_into_file(path, file="a.pkl") != first


def test_a_torch_file_of_300_gigabytes_has_its_directory_read_and_its_budget() -> None:
    from ckptkit.formats.zip_directory import read_directory

    start = 300 * 10**9
    extra = struct.pack("<2H3Q", 1, 24, start - 100, start - 100, 0)
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 45, 45, 0, 0, 0, 0, 0, *[2**32 - 1] * 2, 1, 28, 0, 0, 0, 0, 2**32 - 1)
    tail = entry + b"a" + extra
    tail += struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(entry) + 29, start)
    tail += struct.pack("<4sIQI", b"PK\6\7", 0, start + len(entry) + 29, 1)
    tail += struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(entry) + 29, 2**32 - 1, 0)

    class Behind(io.BytesIO):
        def seek(self, place: int, whence: int = 0) -> int:
            return super().seek(place - start, whence)

    (found,) = read_directory(Behind(tail), start + len(tail)).entries
    assert found.size == start - 100


def test_a_sparse_torch_file_is_looked_into_and_torch_reads_it(tmp_path: Path) -> None:
    write_sparse(tmp_path / "a.pth", 5 * 10**7)
    assert look_into_file(tmp_path / "a.pth", file="a.pth") == []
    loaded = torch.load(tmp_path / "a.pth", weights_only=True, mmap=True)
    assert loaded["weight"].numel() == 12_500_000


def test_a_data_pkl_of_more_than_64_mib_is_followed() -> None:
    data = b"\x80\x02\x8a\x01\x070}(X\x01\x00\x00\x00aB" + struct.pack("<I", 70 << 20) + bytes(70 << 20) + b"u."
    assert look_into_bytes(torch_zip(data), name="a.pth", file="a.pth") == []


def test_more_than_ten_thousand_storages_are_read() -> None:
    buffer = io.BytesIO()
    torch.save([torch.ones(1).clone() for _ in range(10_500)], buffer)
    assert look_into_bytes(buffer.getvalue(), name="a.pth", file="a.pth") == []


def test_an_array_in_a_packed_file_is_data() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.ones(1000))
    assert look_into_bytes(gzip.compress(buffer.getvalue()), name="a.npy.gz", file="a.npy.gz") == []


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_is_followed_in_whatever_way_python_reads_it(method: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w", method) as archive:
        archive.writestr("rows.dat", b"cbuiltins\neval\n(S'1'\ntR." + b"\0" * 5000)
    assert "pickle-dangerous" in {p.code for p in look_into_file(tmp_path / "data.zip", file="data.zip")}
