"""What does not fit or is not what it claims to be is refused, with the field named and the target untouched."""

import base64
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ckptkit_torchdata import ResumableLoader, TorchDataBackend
from ckptkit_torchdata.state_file import FORMAT_VERSION
from torch.utils import data as tud

from ckptkit.backend import CheckContext, LoadContext, SaveContext
from ckptkit.errors import BackendError, DamagedError, NewerFormatError, UnsafeContentError

BACKEND = TorchDataBackend()


class Counted(tud.Dataset[Any]):
    """Has a position that its ``state_dict`` says, and a length of its own."""

    def __init__(self, size: int = 12) -> None:
        self.size, self.given = size, 0

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> int:
        self.given += 1
        return self.given * 100 + index

    def state_dict(self) -> dict[str, Any]:
        return {"given": self.given}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.given = state["given"]


class Other(Counted):
    pass


def other_collate(items: list[int]) -> Any:
    return torch.tensor(items)


def make(dataset: Any = None, batch_size: int = 3, **options: Any) -> tud.DataLoader[Any]:
    options = {"shuffle": True, "generator": torch.Generator().manual_seed(1), **options}
    return tud.DataLoader(Counted() if dataset is None else dataset, batch_size, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = ResumableLoader(make())
    next(data), next(data)
    (tmp_path / "item").mkdir()
    BACKEND.save(data, tmp_path / "item", context=SaveContext(step=2))
    return tmp_path / "item"


def load(folder: Path, target: ResumableLoader) -> ResumableLoader:
    files = tuple(file.name for file in folder.iterdir())
    return BACKEND.load(folder, target=target, context=LoadContext(files))


def test_the_state_of_a_dataset_comes_back_with_its_place(folder: Path) -> None:
    expected = ResumableLoader(make())
    next(expected), next(expected)
    assert next(load(folder, ResumableLoader(make()))).tolist() == next(expected).tolist()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 4}, "batch_size 3 -> 4"),
        ({"dataset": Counted(13)}, "dataset_length 12 -> 13"),
        ({"dataset": Other()}, "dataset 'Counted' -> 'Other'"),
        ({"drop_last": True}, "drop_last False -> True"),
        ({"shuffle": False}, "sampler 'RandomSampler' -> 'SequentialSampler'"),
        ({"num_workers": 1}, "num_workers 0 -> 1"),
        ({"collate_fn": other_collate}, "collate 'default_collate' -> 'other_collate'"),
        ({"shuffle": None, "sampler": tud.RandomSampler(range(12), replacement=True)}, "sampler.replacement"),
        ({"generator": None}, "generator: the loader that was saved had a generator there"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_changed_loader_is_refused_with_the_field_named(folder: Path, options: dict[str, Any], words: str) -> None:
    target = ResumableLoader(make(**options))
    with pytest.raises(BackendError) as raised:
        load(folder, target)
    assert words in str(raised.value)
    assert not target.pending


def test_other_data_of_the_same_shape_is_refused_by_its_version(tmp_path: Path) -> None:
    data = ResumableLoader(make(), version="files of May")
    BACKEND.save(data, tmp_path, context=SaveContext(step=0))
    with pytest.raises(BackendError, match="version 'files of May' -> 'files of June'"):
        load(tmp_path, ResumableLoader(make(), version="files of June"))


def edited(change: Callable[[dict[str, Any]], object], folder: Path) -> None:
    content = json.loads((folder / "loader.json").read_text())
    change(content)
    (folder / "loader.json").write_text(json.dumps(content))


def python_leaf(content: dict[str, Any]) -> dict[str, Any]:
    leaf: dict[str, Any] = content["epoch_start"]["globals"]["python"]
    return leaf


def torch_state(position: int) -> Callable[[dict[str, Any]], object]:
    def change(content: dict[str, Any]) -> None:
        leaf = content["epoch_start"]["globals"]["torch"]
        data = bytearray(base64.b64decode(leaf["state"]))
        struct.pack_into("<Q", data, 16, position)
        leaf["state"] = base64.b64encode(bytes(data)).decode()

    return change


HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "a position outside the words": lambda c: python_leaf(c)["words"].__setitem__(624, 100000),
    "words all zero": lambda c: python_leaf(c).update(words=[0] * 624 + [1]),
    "a word that is no number": lambda c: python_leaf(c)["words"].__setitem__(3, "7"),
    "a word too few": lambda c: python_leaf(c)["words"].pop(),
    "gauss that no generator draws": lambda c: python_leaf(c).update(gauss=1e300 * 10),
    "numpy words outside": lambda c: c["epoch_start"]["globals"]["numpy"]["state"].update(pos=-1),
    "numpy another kind": lambda c: c["epoch_start"]["globals"]["numpy"].update(bit_generator="Philox"),
    "torch index outside": torch_state(70000),
    "torch cut": lambda c: c["epoch_start"]["globals"]["torch"].update(state="AAAA"),
    "generator of another kind": lambda c: c["epoch_start"]["globals"].update(
        python=c["now"]["generators"]["generator"]
    ),
    "negative count": lambda c: c.update(batches=-1),
    "a count that is true": lambda c: c.update(epoch=True),
    "more in this epoch than in all": lambda c: c.update(batches=99),
    "unknown field": lambda c: c.update(extra=1),
    "missing field": lambda c: c.pop("order"),
    "unknown part": lambda c: c.update(states=["__class__"]),
    "no start": lambda c: c.update(epoch_start=None),
    "unknown mode": lambda c: c.update(mode="guess"),
}


@pytest.mark.parametrize("kind", list(HOSTILE))
def test_a_hostile_file_is_found_and_refused(folder: Path, kind: str) -> None:
    edited(HOSTILE[kind], folder)
    problems = list(BACKEND.check(folder, context=CheckContext(("loader.json", "state.pth"))))
    assert [problem.code for problem in problems] == ["loader-file-damaged"]
    target = ResumableLoader(make())
    with pytest.raises(DamagedError, match=r"loader\.json"):
        load(folder, target)
    assert not target.pending


def test_a_pickle_in_place_of_the_states_is_unsafe(folder: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return print, ("run",)

    (folder / "state.pth").unlink()
    torch.save({"dataset": Evil()}, folder / "state.pth")
    with pytest.raises(UnsafeContentError):
        load(folder, ResumableLoader(make()))


def test_states_of_other_parts_than_named_are_refused(folder: Path) -> None:
    (folder / "state.pth").unlink()
    torch.save({"sampler": {}}, folder / "state.pth")
    with pytest.raises(DamagedError, match="does not hold the parts"):
        load(folder, ResumableLoader(make()))


def test_a_newer_format_is_refused(folder: Path) -> None:
    edited(lambda content: content.update(format_version=FORMAT_VERSION + 1), folder)
    with pytest.raises(NewerFormatError):
        load(folder, ResumableLoader(make()))
    assert [p.code for p in BACKEND.check(folder, context=CheckContext(("loader.json",)))] == ["loader-format-newer"]


def test_a_state_dict_that_is_no_plain_value_is_refused_at_save(tmp_path: Path) -> None:
    class Strange(Counted):
        def state_dict(self) -> dict[str, Any]:
            return {"place": Path("x")}

    with pytest.raises(BackendError, match="would not load with weights_only=True"):
        BACKEND.save(ResumableLoader(make(Strange())), tmp_path, context=SaveContext(step=0))


def test_a_manifest_of_another_place_is_a_problem(folder: Path) -> None:
    context = CheckContext(("loader.json", "state.pth"), metadata={"batches": 3})
    assert [problem.code for problem in BACKEND.check(folder, context=context)] == ["loader-file-disagrees"]
