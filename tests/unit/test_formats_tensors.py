"""Tensors are listed from headers and compared as streams, whichever library wrote them, and none is imported."""

import contextlib
import io
import math
import os
import pickle
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ckptkit.errors import DamagedError
from ckptkit.formats.sources import source_of
from ckptkit.formats.tensor_bytes import Held
from ckptkit.formats.tensor_changes import Change, change, comparable, same_content
from ckptkit.formats.tensors import NOWHERE, Tensor, opened, tensors_in

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.int64,
    torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128,
]  # fmt: skip
MODULE = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))


def tensors(path: Path) -> list[Tensor]:
    with source_of(path, file=path.name) as source:
        return list(tensors_in(source))


def listed(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {one.label: (one.dtype, one.shape) for one in tensors(path)}


@contextmanager
def held(path: Path, name: str = "x") -> Iterator[Held]:
    with source_of(path, file=path.name) as source:
        [tensor] = [one for one in tensors_in(source) if one.name == name]
        yield Held(tensor, opened(source.stream, tensor.place))


def measured(a: Path, b: Path, name: str = "x", *, numpy: Any = None) -> Change:
    with held(a, name) as one, held(b, name) as other:
        assert comparable(one.tensor, other.tensor)
        return change(one, other, numpy=numpy)


def are_same(a: Path, b: Path, name: str = "x") -> bool:
    with held(a, name) as one, held(b, name) as other:
        return same_content(one, other)


def write(folder: Path, name: str, value: object) -> Path:
    path = folder / name
    torch.save(value, path)
    return path


MODULE_TENSORS = {
    "0.weight": ("float32", (3, 4)), "0.bias": ("float32", (3,)),
    "1.weight": ("float32", (2, 3)), "1.bias": ("float32", (2,)),
}  # fmt: skip


def test_a_state_dict_is_listed_by_its_names(tmp_path: Path) -> None:
    assert listed(write(tmp_path, "m.pt", MODULE.state_dict())) == MODULE_TENSORS
    save_file(MODULE.state_dict(), tmp_path / "m.safetensors")
    assert listed(tmp_path / "m.safetensors") == MODULE_TENSORS


def test_a_pickled_module_is_listed_as_its_state_dict_is(tmp_path: Path) -> None:
    assert listed(write(tmp_path, "m.pth", MODULE)) == MODULE_TENSORS


def test_the_old_form_of_torch_is_listed_and_read(tmp_path: Path) -> None:
    torch.save(MODULE.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    new = write(tmp_path, "new.pt", MODULE.state_dict())
    assert listed(tmp_path / "old.pt") == MODULE_TENSORS
    assert all(are_same(tmp_path / "old.pt", new, name) for name in MODULE_TENSORS)


def test_keys_of_nested_dicts_are_joined(tmp_path: Path) -> None:
    optimizer = {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(3, 4)}}, "param_groups": [{"lr": 0.1}]}
    found = listed(write(tmp_path, "last.ckpt", {"state_dict": {"w": torch.ones(2)}, "o": optimizer}))
    assert found["state_dict.w"] == ("float32", (2,))
    assert found["o.state.0.exp_avg"] == ("float32", (3, 4))
    assert found["o.state.0.step"] == ("float32", ())


@pytest.mark.parametrize("dtype", [*DTYPES, torch.uint16, torch.uint32, torch.uint64], ids=str)
def test_every_dtype_of_torch_has_its_name(dtype: torch.dtype, tmp_path: Path) -> None:
    name = str(dtype).removeprefix("torch.")
    assert listed(write(tmp_path, "x.pt", {"x": torch.zeros(3, 2).to(dtype)})) == {"x": (name, (3, 2))}


def test_arrays_are_listed_without_unpacking_them(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "c.npz", a=np.zeros((3, 2), "f2"), b=np.array(True), c=np.zeros(2, ">i4"))
    assert listed(tmp_path / "c.npz") == {"a": ("float16", (3, 2)), "b": ("bool", ()), "c": ("int32", (2,))}
    np.save(tmp_path / "one.npy", np.zeros(4, "c16"))
    assert listed(tmp_path / "one.npy") == {"(unnamed)": ("complex128", (4,))}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_torch_file_in_a_zip_is_listed_under_its_name(method: int, tmp_path: Path) -> None:
    write(tmp_path, "policy.pth", {"x": torch.arange(6.0).reshape(2, 3)})
    with zipfile.ZipFile(tmp_path / "agent.zip", "w", method) as archive:
        archive.writestr("data", "{}")
        archive.write(tmp_path / "policy.pth", "policy.pth")
    assert listed(tmp_path / "agent.zip") == {"policy.pth: x": ("float32", (2, 3))}
    assert are_same(tmp_path / "agent.zip", tmp_path / "policy.pth")


@pytest.mark.parametrize("form", ["earliest", "latest"])
def test_datasets_of_hdf5_are_listed_and_read(form: str, tmp_path: Path) -> None:
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w", libver=form) as file:
        for number in range(40 if form == "earliest" else 6):
            file[f"layers/dense_{number}/vars/0"] = np.full((3, 2), number, "f4")
        file["big"], file["flags"] = np.arange(3, dtype=">i8"), np.array([True, False])
        file.create_dataset("chunks", data=np.ones((20, 20)), chunks=(5, 5), compression="gzip")
        values = {name: file[name][()] for name in ("layers/dense_3/vars/0", "big", "flags")}
    found = listed(path)
    assert found["layers/dense_3/vars/0"] == ("float32", (3, 2))
    assert (found["big"], found["flags"]) == (("int64", (3,)), ("bool", (2,)))
    assert found["chunks"] == ("float64", (20, 20))
    assert len(found) == (43 if form == "earliest" else 9)
    for name, value in values.items():
        with held(path, name) as one:
            assert b"".join(one.blocks(as_stored=True)) == value.tobytes()
    assert [one.name for one in tensors(path) if one.place.offset == NOWHERE] == ["chunks"]


def test_a_hdf5_file_that_was_cut_or_overwritten_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["a/b"] = np.arange(9.0)
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(DamagedError, match="cut short"):
        tensors(path)
    for place in range(96, len(data), 3):  # whatever is there instead, it ends, and with nothing but DamagedError
        path.write_bytes(data[:place] + b"\xff\xff\xff" + data[place + 3 :])
        with contextlib.suppress(DamagedError):
            tensors(path)


def test_other_files_hold_no_tensors(tmp_path: Path) -> None:
    for name, data in (("a.json", b"{}"), ("empty", b""), ("notes.txt", b"hello"), ("rng.pkl", pickle.dumps([1]))):
        (tmp_path / name).write_bytes(data)
        assert tensors(tmp_path / name) == []


@pytest.mark.parametrize("name", ["x.pt", "x.safetensors", "x.npz", "x.npy"])
def test_a_file_that_was_cut_anywhere_is_damaged(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "x.pt":
        torch.save({"x": torch.arange(9.0)}, path)
    elif name == "x.safetensors":
        save_file({"x": torch.arange(9.0)}, path)
    elif name == "x.npz":
        np.savez(path, x=np.arange(9.0))
    else:
        np.save(path, np.arange(9.0))
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(DamagedError):
            tensors(path)


def test_nothing_is_run_that_a_pickle_would_run(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "ran"),)

    path = write(tmp_path, "bad.pt", {"x": torch.ones(2), "y": Runs()})
    assert listed(path) == {"x": ("float32", (2,))}
    assert not (tmp_path / "ran").exists()


def test_dicts_in_dicts_without_end_are_refused_and_not_followed(tmp_path: Path) -> None:
    again: dict[str, Any] = {"x": torch.ones(1)}
    for _ in range(60):
        again = {"a": again, "b": again}
    with pytest.raises(DamagedError, match="nested"):
        tensors(write(tmp_path, "laughs.pt", again))
    circle: dict[str, Any] = {"x": torch.ones(1)}
    circle["again"] = circle
    assert listed(write(tmp_path, "circle.pt", circle)) == {"x": ("float32", (1,))}


def test_a_tensor_beyond_its_storage_is_damage_when_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "x.pt", {"x": torch.arange(9.0)})
    with zipfile.ZipFile(path) as archive:
        members = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data[:8] if name.endswith("data/0") else data)
    with held(path) as one, pytest.raises(DamagedError, match="'x'"):
        list(one.blocks(as_stored=True))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_norms_are_those_of_numpy_with_and_without_it(dtype: torch.dtype, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    values = [(10 * torch.randn(40, 500, generator=generator, dtype=torch.float64)).to(dtype) for _ in range(2)]
    if dtype == torch.bool:
        values = [torch.rand(40, 500, generator=generator) > 0.5 for _ in range(2)]
    if dtype.is_complex:
        values = [value + 1j * value.flip(0) for value in values]
    a, b = (write(tmp_path, f"{i}.pt", {"x": value}) for i, value in enumerate(values))
    wide = torch.complex128 if dtype.is_complex else torch.float64
    one, other = (value.to(wide).numpy() for value in values)
    found = measured(a, b)
    assert found == measured(a, b, numpy=np)
    assert found.norm == pytest.approx(np.linalg.norm(other - one), rel=1e-9)
    assert (found.norm_a, found.norm_b) == pytest.approx((np.linalg.norm(one), np.linalg.norm(other)), rel=1e-9)
    assert found.largest == pytest.approx(np.abs(other - one).max(), rel=1e-9)
    assert found.differing == np.count_nonzero(other - one)
    assert not are_same(a, b)
    assert are_same(a, a)


def test_large_whole_numbers_are_subtracted_before_they_are_rounded(tmp_path: Path) -> None:
    a = write(tmp_path, "a.pt", {"x": torch.tensor([2**62, 5])})
    b = write(tmp_path, "b.pt", {"x": torch.tensor([2**62 + 1, 5])})
    found = measured(a, b)
    assert (found.norm, found.largest, found.differing) == (1, 1, 1)


@pytest.mark.parametrize("numpy", [None, np], ids=["plain", "numpy"])
def test_what_is_not_finite_is_counted_and_left_out(numpy: Any, tmp_path: Path) -> None:
    nan, inf = math.nan, math.inf
    a = write(tmp_path, "a.pt", {"x": torch.tensor([1.0, nan, nan, inf, 2.0, 3.0])})
    b = write(tmp_path, "b.pt", {"x": torch.tensor([1.0, nan, 5.0, inf, -inf, 4.0])})
    found = measured(a, b, numpy=numpy)
    assert (found.norm, found.largest) == (1, 1)
    assert (found.differing, found.not_finite) == (3, 2)


@pytest.mark.parametrize("numpy", [None, np], ids=["plain", "numpy"])
def test_neither_tiny_nor_huge_numbers_vanish(numpy: Any, tmp_path: Path) -> None:
    for scale in (1e-200, 1e200):
        a = write(tmp_path, "a.pt", {"x": torch.tensor([0.0, 3 * scale], dtype=torch.float64)})
        b = write(tmp_path, "b.pt", {"x": torch.tensor([4 * scale, 0.0], dtype=torch.float64)})
        found = measured(a, b, numpy=numpy)
        assert (found.norm, found.largest) == pytest.approx((5 * scale, 4 * scale))


@pytest.mark.parametrize("view", ["t", "[:, 1:3]", "[::2]", "expand"])
def test_a_view_is_read_in_the_order_of_its_elements(view: str, tmp_path: Path) -> None:
    whole = torch.arange(20.0).reshape(4, 5)
    tensor = {
        "t": whole.t(), "[:, 1:3]": whole[:, 1:3], "[::2]": whole[::2], "expand": whole[:1].expand(3, 5)
    }[view]  # fmt: skip
    a, b = write(tmp_path, "a.pt", {"x": tensor}), write(tmp_path, "b.pt", {"x": tensor.clone().contiguous()})
    assert are_same(a, b)
    assert measured(a, b).norm == 0
    moved = tensor.clone().contiguous()
    moved[-1, -1] += 2
    assert measured(a, write(tmp_path, "c.pt", {"x": moved})).norm == 2


def test_fortran_order_and_byte_order_change_no_number(tmp_path: Path) -> None:
    values = np.arange(12, dtype="f4").reshape(3, 4)
    np.savez(tmp_path / "a.npz", x=values)
    np.savez(tmp_path / "b.npz", x=np.asfortranarray(values.astype(">f4")))
    assert measured(tmp_path / "a.npz", tmp_path / "b.npz") == measured(tmp_path / "a.npz", tmp_path / "a.npz")


def test_numbers_of_two_dtypes_are_compared(tmp_path: Path) -> None:
    values = torch.tensor([1.0, 1.001, 2.0])
    a, b = write(tmp_path, "a.pt", {"x": values}), write(tmp_path, "b.pt", {"x": values.bfloat16()})
    assert measured(a, b).largest == pytest.approx(0.001, rel=0.01)


def test_memory_does_not_grow_with_the_tensor(tmp_path: Path) -> None:
    size = 8 << 20
    for name, value in (("a", 0), ("b", 1)):
        np.save(tmp_path / f"{name}.npy", np.full(size, value, "u1"))
    with held(tmp_path / "a.npy", "") as one, held(tmp_path / "b.npy", "") as other:
        tracemalloc.start()
        found = change(one, other, numpy=np)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert found.norm == pytest.approx(math.sqrt(size))
    assert peak < 2 << 20


def test_listing_and_comparing_import_no_numpy(tmp_path: Path) -> None:
    path = write(tmp_path, "x.pt", {"x": torch.ones(3)})
    program = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from ckptkit.formats.sources import source_of
from ckptkit.formats.tensors import opened, tensors_in
from ckptkit.formats.tensor_bytes import Held
from ckptkit.formats.tensor_changes import change
with source_of(Path({str(path)!r}), file="x") as source:
    [x] = tensors_in(source)
    held = Held(x, opened(source.stream, x.place))
    print(change(held, held).norm_a, {{"numpy", "torch"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{math.sqrt(3):.10g} set()\n", done.stderr


def test_a_zip_bomb_of_an_archive_is_not_unpacked(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a/data.pkl", b"\0" * 1000)
        archive.writestr("a/zeros", b"\0" * (65 << 20))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("policy.pth", inner.getvalue())
    with pytest.raises(DamagedError, match="packed"):
        tensors(tmp_path / "bomb.zip")


def test_a_shard_of_dcp_lists_none(tmp_path: Path) -> None:
    for member in ("a", "b"):  # torch writes each tensor as a zip, one behind the other
        with zipfile.ZipFile(tmp_path / member, "w") as archive:
            archive.writestr("archive/data.pkl", b"\x80\x02.")
    (tmp_path / "__0_0.distcp").write_bytes((tmp_path / "a").read_bytes() + (tmp_path / "b").read_bytes())
    assert not tensors(tmp_path / "__0_0.distcp")
