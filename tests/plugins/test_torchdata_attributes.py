"""State of the user's own inside a loader: put back in new processes, or named as the reason why it is not."""

import json
import math
import os
import subprocess
import sys
from collections import Counter, OrderedDict, deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ckptkit_torchdata import ResumableLoader, values
from torch.utils.data import DataLoader, Dataset

from ckptkit import CheckpointStore
from tests.plugins import loader_state
from tests.plugins.loader_state import KINDS, SAVES

PARTIAL = {
    "iterator": "dataset.ids: an iterator (itertools.count)",
    "cache": "dataset.cache: changed since it was built, and is too large",
    "object made at the first use": "dataset.helper: was made after the loader was built",
    "restless sampler": "another order at each pass",
}
COMPLETE = [kind for kind in KINDS if kind not in PARTIAL]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what was trained on without saving; with saves, in a second process; and on from them, in a third."""
    folder = tmp_path_factory.mktemp("loaders")
    found: dict[str, Any] = {}
    for part in ("straight", "first", "second"):
        command = [sys.executable, loader_state.__file__, part, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)
        assert done.returncode == 0, done.stderr
        found[part] = json.loads(done.stdout.split("JSON ")[1])
    return found


@pytest.mark.matrix
@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("kind", COMPLETE)
def test_a_run_goes_on_in_a_new_process_as_if_it_had_never_ended(runs: dict[str, Any], kind: str, save: int) -> None:
    assert runs["first"][kind]["said"][str(save)]["captured"]["grade"] == "complete"
    assert runs["second"][kind][str(save)] == runs["straight"][kind][save:]


@pytest.mark.matrix
@pytest.mark.parametrize("kind", list(PARTIAL))
def test_what_cannot_be_put_back_is_named_and_never_refused(runs: dict[str, Any], kind: str) -> None:
    for save in SAVES:
        captured = runs["first"][kind]["said"][str(save)]["captured"]
        assert captured["grade"] == "partial"
        assert PARTIAL[kind] in str(captured["reasons"])
        assert isinstance(runs["second"][kind][str(save)], list), runs["second"][kind][str(save)]


@pytest.mark.matrix
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "restless sampler"])
def test_saving_after_every_step_changes_nothing(runs: dict[str, Any], kind: str) -> None:
    taken = runs["first"][kind]["taken"]
    assert taken == runs["straight"][kind][: len(taken)]


VALUES = [
    None, True, 3, 2**70, -0.0, math.nan, "text", b"bytes", bytearray(b"x"), 1 + 2j, range(1, 9, 2), (1, [2, (3,)]),
    {"a": {1: [2.5]}}, OrderedDict(b=1, a=2), Counter("hello"), {3, 1, 2}, frozenset([(1, 2)]), deque([1, 2], maxlen=3),
    np.arange(6, dtype="int16").reshape(2, 3), np.float32(0.1), np.bool_(True), np.zeros((0, 3)), np.array(1.5),
    torch.arange(4).reshape(2, 2), torch.tensor(0.1, dtype=torch.bfloat16), torch.zeros(0), torch.tensor([1j]),
    [torch.ones(2), {"a": np.ones(2)}],
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}-{value!s:.20}")
def test_a_plain_value_comes_back_through_json(value: Any) -> None:
    from ckptkit.formats import strict_json

    node = strict_json.loads(strict_json.dumps(values.encode(value)))
    assert values.fault(node) is None
    back = values.decode(node)
    assert type(back) is type(value)
    assert repr(back) == repr(value)
    assert repr(values.encode(back)) == repr(values.encode(value))


@pytest.mark.parametrize(
    "node",
    [
        {"@": "object"}, {}, {"@": "tuple"}, {"@": "range", "parts": [0, 1, 0]}, {"@": "bytes", "data": "!"},
        {"@": "tensor", "dtype": "float32", "shape": [2], "data": "AAAA"},
        {"@": "array", "dtype": "O", "shape": [], "data": ""}, {"@": "array", "dtype": "f4", "shape": [-1], "data": ""},
        {"@": "set", "items": [[1]]}, {"@": "dict", "items": [[{"@": "array"}, 1]]},
        {"@": "deque", "items": [], "maxlen": -1},
        {"@": "tuple", "items": [{"@": "code"}]}, {"@": "scalar", "dtype": "f4", "shape": [1], "data": "AAAAAA=="},
    ],
)  # fmt: skip
def test_a_node_that_is_no_value_is_a_fault_before_anything_is_built(node: Any) -> None:
    assert values.fault(node) is not None


class Rows(Dataset[int]):
    def __init__(self, root: str, rows: Any) -> None:
        self.root, self.rows, self.cache, self.buffer = root, rows, {}, [0]  # type: ignore[var-annotated]

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> int:
        self.buffer[0] += 1
        self.cache[index] = torch.zeros(20000)
        return index


def test_what_training_left_alone_is_definition_and_stays_as_it_is_now() -> None:
    live = ResumableLoader(lambda: DataLoader(Rows("/old", [1, 2]), 2), ignore=["dataset.cache"])
    next(live)
    there = Rows("/new", [3, 4])
    shared = there.buffer
    back = ResumableLoader(DataLoader(there, 2), ignore=["dataset.cache"])
    back.go_to(live.place())
    next(back)
    assert (there.root, there.rows, there.buffer) == ("/new", [3, 4], [4])
    assert there.buffer is shared  # others may hold it too


@pytest.mark.parametrize(
    "rows",
    [np.zeros(200_000), torch.zeros(200_000), [0] * 5000, np.array(["a", "b"])],
    ids=lambda rows: type(rows).__name__,
)
def test_large_data_is_no_state_until_it_changes(rows: Any) -> None:
    data = ResumableLoader(DataLoader(Rows("here", rows), 2), ignore=["dataset.cache"])
    next(data)
    assert data.parts.reasons(data.place().position.now) == []
    rows[0] = "b" if rows is not None and getattr(rows, "dtype", None) == np.dtype("<U1") else 1
    (reason,) = data.parts.reasons(data.place().position.now)
    assert reason.startswith("dataset.rows: changed since it was built")


def test_a_dataset_that_grows_is_named_at_save_and_never_refused(tmp_path: Path) -> None:
    rows = list(range(8))
    live = ResumableLoader(DataLoader(rows, 2))  # type: ignore[arg-type]  # a list is a dataset
    next(live)
    rows.append(8)
    store = CheckpointStore(tmp_path)
    captured = store.save("run", 1, {"data": live}).manifest.items["data"].captured
    assert (captured.grade, captured.reasons) == ("partial", ["dataset_length 8 -> 9 since the loader was built"])
    back = ResumableLoader(DataLoader(list(range(8)), 2))  # type: ignore[arg-type]
    store.restore("run", {"data": back})
    assert next(back).tolist() == [2, 3]
