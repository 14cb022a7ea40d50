"""Plain state in the files of `torch.save`, written without it: every reader takes them, and equal state is equal."""

import zipfile
from collections import OrderedDict
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from ckptkit_safetensors import torch_file
from torch.utils.serialization import config

from ckptkit.formats import zips


def state() -> dict[str, Any]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.Linear(288, 4))
    optimizer = torch.optim.AdamW(model.parameters(), amsgrad=True)
    model(torch.ones(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    odd = {
        "last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "none": torch.zeros(0, 3),
        "number": torch.tensor(2.5),
        "ordered": OrderedDict([("b", (1, 2.5, None, True, "é")), ("a", [])]),
        **{str(kind): torch.ones(3, dtype=kind) for kind in (torch.bfloat16, torch.bool, torch.int16, torch.complex64)},
    }
    return {**optimizer.state_dict(), "odd": odd}


def written(value: Any) -> bytes:
    stream = BytesIO()
    torch_file.write(stream, value)  # type: ignore[arg-type]  # it is one in all that counts
    return stream.getvalue()


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return (one.dtype, one.stride()) == (other.dtype, other.stride()) and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("computed", [False, True])
def test_torch_loads_it(mapped: bool, computed: bool, tmp_path: Path) -> None:
    (tmp_path / "f.pth").write_bytes(written(state()))
    with config.patch({"load.calculate_storage_offsets": computed}):
        assert same(torch.load(tmp_path / "f.pth", weights_only=True, mmap=mapped), state())


def test_members_lie_where_torch_puts_them() -> None:
    stream = BytesIO()
    torch.save(state(), stream)
    ours, theirs = zipfile.ZipFile(BytesIO(written(state()))), zipfile.ZipFile(stream)
    places = [
        [(one.filename, one.file_size, one.header_offset) for one in archive.infolist()] for archive in (ours, theirs)
    ]
    assert places[0] == places[1]
    assert ours.testzip() is None


def test_the_walker_finds_nothing_wrong(tmp_path: Path) -> None:
    (tmp_path / "f.pth").write_bytes(written(state()))
    assert zips.check_zip(tmp_path / "f.pth", file="f") == []


def test_what_was_loaded_is_written_as_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "f.pth").write_bytes(written(state()))
    assert written(torch.load(tmp_path / "f.pth", weights_only=True)) == (tmp_path / "f.pth").read_bytes()


def test_equal_text_in_one_or_in_several_objects_is_the_same_bytes() -> None:
    text, again = "".join(["exp", "_avg"]), "".join(["exp_", "avg"])
    assert text is not again
    assert written([text, text]) == written([text, again])


def test_tensors_that_share_their_memory_share_it_when_they_are_loaded() -> None:
    one = torch.ones(3)
    first, second = torch.load(BytesIO(written([one, one.detach()])), weights_only=True)
    assert first.data_ptr() == second.data_ptr()


@pytest.mark.parametrize(
    "value",
    [{1, 2}, b"x", torch.float32, torch.ones(2).to_sparse(), torch.ones(4)[:2], torch.nn.Parameter(torch.ones(1))],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_plain_is_told(value: Any) -> None:
    assert torch_file.is_plain(state())
    assert not torch_file.is_plain({"within": [value]})
