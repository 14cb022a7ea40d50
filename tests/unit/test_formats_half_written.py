"""Binary files of known kinds that were cut short, or that their writer never closed, are told from whole ones."""

import bz2
import gzip
import io
import lzma
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from ckptkit.formats.kinds import look_into_bytes, look_into_file
from ckptkit.formats.onnx import external_extents

FROZEN = Path(__file__).parent / "frozen_formats"
BUNDLE_INDEX = Path(__file__).parents[1] / "plugins/test_tfdata_frozen/tensorflow-2.16.2-shuffled/iterator.index"


def write_hdf5(path: Path, libver: str = "earliest", userblock: int = 0) -> None:
    with h5py.File(path, "w", libver=libver, userblock_size=userblock) as file:
        file.create_dataset("layers/dense/vars/0", data=np.ones((8, 8)))


def write_parquet(path: Path, rows: int = 40) -> None:
    table = pa.table({"index": np.arange(rows), "text": [str(i) for i in range(rows)], "list": [[1.0, 2.0]] * rows})
    pq.write_table(table, path, row_group_size=16)


WRITERS: dict[str, Callable[[Path], object]] = {
    "old.h5": write_hdf5,
    "new.h5": lambda path: write_hdf5(path, "latest"),
    "userblock.h5": lambda path: write_hdf5(path, userblock=512),
    "rows.parquet": write_parquet,
    "none.parquet": lambda path: write_parquet(path, 0),
    "model.gguf": lambda path: shutil.copy(FROZEN / path.name, path),
    "model.onnx": lambda path: shutil.copy(FROZEN / path.name, path),
    "large.onnx": lambda path: shutil.copy(FROZEN / path.name, path),
    "manifest.ocdbt": lambda path: shutil.copy(FROZEN / path.name, path),
    "node.ocdbt": lambda path: shutil.copy(FROZEN / path.name, path),
    "w.safetensors": lambda path: save_file({"w": np.ones((3, 5))}, path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_whole_files_are_clean(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    assert look_into_file(tmp_path / name, file=name) == []


def test_bytes_after_the_end_of_a_manifest_of_ocdbt_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "manifest.ocdbt"
    path.write_bytes((FROZEN / path.name).read_bytes() + b"xx")
    assert [problem.severity for problem in look_into_file(path, file=path.name)] == ["error"]


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_cut_short_at_any_place_is_damaged(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    whole = path.read_bytes()
    missed = []
    for length in {*range(0, len(whole), max(1, len(whole) // 100)), len(whole) - 1}:
        path.write_bytes(whole[:length])
        if [problem.severity for problem in look_into_file(path, file=name)] != ["error"]:
            missed.append(length)
    unpadded = {"model.gguf": 388}  # nothing but padding is gone: some writers leave it out
    assert [length for length in missed if length != unpadded.get(name)] == []


@pytest.mark.parametrize("name", WRITERS)
def test_other_bytes_under_that_name_are_damaged(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"<html><body>404 Not Found</body></html>" * 8)
    assert [problem.severity for problem in look_into_file(tmp_path / name, file=name)] == ["error"]


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("flushed", [False, True])
def test_an_hdf5_file_whose_writer_was_killed_is_damaged(tmp_path: Path, libver: str, flushed: bool) -> None:
    path = tmp_path / "killed.h5"
    child = os.fork()
    if not child:
        file = h5py.File(path, "w", libver=libver)
        for number in range(8):
            file.create_dataset(f"layers/{number}", data=np.ones((64, 64)))
        if flushed:
            file.flush()
        os._exit(0)
    os.waitpid(child, 0)
    (problem,) = look_into_file(path, file="killed.h5")
    assert "was not closed by what wrote it" in problem.message


def test_an_onnx_model_names_the_files_that_hold_its_large_tensors() -> None:
    assert external_extents(FROZEN / "large.onnx") == {"large.data": 64}
    assert external_extents(FROZEN / "model.onnx") == {}


@pytest.mark.parametrize(
    "name", ["model.bin", "a.zip", "m.keras", "w.safetensors", "w.h5", "x.distcp", "a.tar.gz", "0a1b2c3d" * 4]
)
def test_an_empty_file_with_the_name_of_a_binary_is_damaged(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert [problem.severity for problem in look_into_file(tmp_path / name, file=name)] == ["error"]


@pytest.mark.parametrize("name", ["__init__.py", ".gitkeep", "a.lock", "_SUCCESS", "merges.txt", "commit_success.txt"])
def test_an_empty_mark_or_text_is_nothing_to_tell(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert look_into_file(tmp_path / name, file=name) == []


def test_an_empty_file_of_unknown_kind_is_told(tmp_path: Path) -> None:
    (tmp_path / "state.xyz").touch()
    (problem,) = look_into_file(tmp_path / "state.xyz", file="state.xyz")
    assert (problem.code, problem.severity) == ("file-empty", "warning")


def test_plain_text_is_not_taken_for_a_safetensors_file(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text('settings{"lr": 0.1}')
    assert look_into_file(tmp_path / "notes.txt", file="notes.txt") == []


@pytest.mark.parametrize("length", range(1, 60, 3))
def test_the_first_bytes_of_an_hdf5_file_are_told_as_cut(length: int, tmp_path: Path) -> None:
    write_hdf5(tmp_path / "whole.h5")
    (tmp_path / "cut.h5").write_bytes((tmp_path / "whole.h5").read_bytes()[:length])
    assert look_into_file(tmp_path / "cut.h5", file="cut.h5")


def test_no_flipped_byte_of_a_known_kind_makes_a_reader_fail(tmp_path: Path) -> None:
    for name in ("old.h5", "rows.parquet", "model.gguf", "model.onnx"):
        WRITERS[name](tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        for place in range(0, min(len(whole), 4000), 7):
            (tmp_path / name).write_bytes(whole[:place] + bytes([whole[place] ^ 0x14]) + whole[place + 1 :])
            problems = look_into_file(tmp_path / name, file=name)
            assert not [p for p in problems if "cannot be read as" in p.message], (name, place, problems)


LOG = b"".join(b"%d,%f\n" % (i, np.sin(i)) for i in range(400))
PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def tar(style: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=style) as archive:
        for name, data in (("folder/" + "long" * 40, LOG), ("none.txt", b"")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "none.txt"
        archive.addfile(link)
    return buffer.getvalue()


def codes(data: bytes, name: str) -> list[str]:
    return [problem.code for problem in look_into_bytes(data, name=name, file=name)]


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_packed_file_cut_short_is_damaged_if_its_name_says_that_it_is_one(suffix: str) -> None:
    first = PACKERS[suffix](LOG)
    whole = first + PACKERS[suffix](b"a second stream\n")
    for data in (first, whole, whole + bytes(512)):
        assert codes(data, f"log.csv{suffix}") == []
    places = {*range(6, len(whole), max(1, len(whole) // 60)), len(first) + 2, len(whole) - 1} - {len(first)}
    assert [n for n in places if codes(whole[:n], f"log.csv{suffix}") != ["archive-cut-short"]] == []
    assert codes(whole[: len(first) // 2], "log.dat") == []


@pytest.mark.parametrize("style", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_tar_cut_short_is_damaged_if_its_name_says_that_it_is_one(style: int) -> None:
    whole = tar(style)
    content = len(whole.rstrip(b"\0"))
    for data in (whole, whole + whole, whole[: content // 512 * 512 + 1024]):
        assert codes(data, "log.tar") == []
    places = {*range(262, content, 128), content - 1}
    assert [n for n in places if codes(whole[:n], "log.tar") != ["archive-cut-short"]] == []
    assert codes(whole[:1000], "log.dat") == []


@pytest.mark.parametrize("beside", ["", "w.data-00000-of-00001", "checkpoint"])
def test_the_index_of_a_bundle_cut_short_is_told_by_its_name_or_the_files_beside_it(
    tmp_path: Path, beside: str
) -> None:
    name = "w.index" if beside else "ckpt-7.index"
    if beside:
        (tmp_path / beside).write_bytes(b'model_checkpoint_path: "w"\n')
    for length in (1, 100, 257):
        (tmp_path / name).write_bytes(BUNDLE_INDEX.read_bytes()[:length])
        assert [p.code for p in look_into_file(tmp_path / name, file=name)] == ["bundle-index-damaged"]


@pytest.mark.parametrize("name", ["faiss.index", "vectors.index", "pack-1.index"])
def test_the_index_of_another_program_is_data(tmp_path: Path, name: str) -> None:
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "ckpt-7"\n')
    (tmp_path / "ckpt-7.data-00000-of-00001").write_bytes(b"data")
    (tmp_path / name).write_bytes(b"IxFI" + bytes(range(200)))
    assert look_into_file(tmp_path / name, file=name) == []
