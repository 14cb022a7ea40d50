"""Binary files of known kinds that were cut short, or that their writer never closed, are told from whole ones."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from ckptkit.formats.gguf import check_gguf
from ckptkit.formats.hdf5 import check_hdf5
from ckptkit.formats.onnx import check_onnx, external_files
from ckptkit.formats.parquet import check_parquet
from ckptkit.formats.safetensors_header import check_safetensors
from ckptkit.problem import Problem

FROZEN = Path(__file__).parent / "frozen_formats"
Check = Callable[..., list[Problem]]


def write_hdf5(path: Path, libver: str = "earliest", userblock: int = 0) -> None:
    with h5py.File(path, "w", libver=libver, userblock_size=userblock) as file:
        file.create_dataset("layers/dense/vars/0", data=np.ones((8, 8)))


def write_parquet(path: Path, rows: int = 40) -> None:
    table = pa.table({"index": np.arange(rows), "text": [str(i) for i in range(rows)], "list": [[1.0, 2.0]] * rows})
    pq.write_table(table, path, row_group_size=16)


WRITERS: dict[str, tuple[Callable[[Path], object], Check]] = {
    "old.h5": (write_hdf5, check_hdf5),
    "new.h5": (lambda path: write_hdf5(path, "latest"), check_hdf5),
    "userblock.h5": (lambda path: write_hdf5(path, userblock=512), check_hdf5),
    "rows.parquet": (write_parquet, check_parquet),
    "none.parquet": (lambda path: write_parquet(path, 0), check_parquet),
    "model.gguf": (lambda path: shutil.copy(FROZEN / path.name, path), check_gguf),
    "model.onnx": (lambda path: shutil.copy(FROZEN / path.name, path), check_onnx),
    "large.onnx": (lambda path: shutil.copy(FROZEN / path.name, path), check_onnx),
    "w.safetensors": (lambda path: save_file({"w": np.ones((3, 5))}, path), check_safetensors),
}


@pytest.mark.parametrize("name", WRITERS)
def test_whole_files_are_clean(tmp_path: Path, name: str) -> None:
    write, check = WRITERS[name]
    write(tmp_path / name)
    assert check(tmp_path / name, file=name) == []


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_cut_short_at_any_place_is_damaged(tmp_path: Path, name: str) -> None:
    write, check = WRITERS[name]
    write(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    missed = []
    cut = tmp_path / "cut"
    for length in {*range(0, len(whole), max(1, len(whole) // 100)), len(whole) - 1}:
        cut.write_bytes(whole[:length])
        if [problem.severity for problem in check(cut, file=name)] != ["error"]:
            missed.append(length)
    unpadded = {"model.gguf": 388}  # nothing but padding is gone: some writers leave it out
    assert [length for length in missed if length != unpadded.get(name)] == []


@pytest.mark.parametrize("name", WRITERS)
def test_other_bytes_under_that_name_are_damaged(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"<html><body>404 Not Found</body></html>" * 8)
    assert [problem.severity for problem in WRITERS[name][1](tmp_path / name, file=name)] == ["error"]


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
    (problem,) = check_hdf5(path, file="killed.h5")
    assert "was not closed by what wrote it" in problem.message


def test_an_onnx_model_names_the_files_that_hold_its_large_tensors() -> None:
    assert list(external_files(FROZEN / "large.onnx")) == ["large.data"]
    assert list(external_files(FROZEN / "model.onnx")) == []
