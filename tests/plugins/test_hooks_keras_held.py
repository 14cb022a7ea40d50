"""What callbacks hold: out to JSON and arrays, and back into objects that a script has built again."""

import itertools
import json
import random
from collections import deque
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ckptkit_hooks.keras_held import Capture
from ckptkit_hooks.keras_put import PutBack

from ckptkit.errors import BackendError


class Phase(Enum):
    WARM = 1
    COLD = 2


class Inner:
    __slots__ = ("count", "seen")

    def __init__(self) -> None:
        self.count = 0
        self.seen: set[str] = set()


class Holder:
    """Every kind of value that is kept."""

    def __init__(self, patience: int = 3) -> None:
        self.patience = patience
        self.best = float("inf")
        self.losses: list[float] = []
        self.window: deque[int] = deque(maxlen=3)
        self.by_name: dict[str, Any] = {"array": np.zeros(2), "pair": (1, [2])}
        self.phase = Phase.WARM
        self.raw = b""
        self.inner = Inner()
        self.counts = counter()
        self.rng = np.random.default_rng(0)
        self.scalar = np.float32(0)

    def train(self) -> None:
        self.best, self.phase, self.raw, self.scalar = -0.1, Phase.COLD, b"\x00\xff", np.float32(0.1)
        self.losses += [1 / (n + 1) for n in range(100)]
        self.window.extend(range(5))
        self.by_name["array"] += 7
        self.by_name["pair"][1].append(float("nan"))
        self.by_name["new"] = None
        self.inner.count += 1
        self.inner.seen.add("a")
        self.counts()
        self.rng.random(3)

    def values(self) -> str:
        inner = (self.inner.count, sorted(self.inner.seen))
        return repr((self.best, self.losses, self.window, self.by_name, self.phase, self.raw, inner, self.scalar))


def counter() -> Callable[[], int]:
    count = 0

    def more() -> int:
        nonlocal count
        count += 1
        return count

    return more


def kept(holder: Any, given: Any = None) -> tuple[Any, Capture]:
    capture = Capture(given=given)
    return json.loads(json.dumps(capture.attributes(vars(holder), "Holder"), allow_nan=False)), capture


def test_all_that_is_kept_is_put_into_the_objects_that_are_there() -> None:
    old, new = Holder(), Holder()
    old.train()
    saved, capture = kept(old)
    inner, losses, array, counts = new.inner, new.losses, new.by_name["array"], new.counts
    put = PutBack(capture.arrays)
    put.attributes(saved, new, "Holder")
    assert (capture.reasons, put.told) == ([], [])
    assert new.values() == old.values()
    assert (new.inner, new.losses, new.by_name["array"], new.counts) == (inner, losses, array, counts)
    assert new.counts() == old.counts() == 2
    assert put.generators == {"Holder.rng": new.rng}


def test_a_setting_that_did_not_change_stays_as_the_script_gives_it_and_the_difference_is_told() -> None:
    old, new = Holder(patience=3), Holder(patience=9)
    _, before = kept(old)
    old.train()
    saved, capture = kept(old, before.seen)
    put = PutBack(capture.arrays)
    put.attributes(saved, new, "Holder")
    assert new.patience == 9
    assert new.best == old.best
    assert put.told == ["Holder.patience: the script gives 9, and gave something else when this was saved"]


def test_a_large_array_that_nobody_changed_is_not_kept_but_compared() -> None:
    class Evaluates:
        def __init__(self, seed: int) -> None:
            self.rows = np.random.default_rng(seed).random(200_000)

    _, before = kept(Evaluates(0))
    saved, capture = kept(Evaluates(0), before.seen)
    assert capture.arrays == {}
    same, other = PutBack({}), PutBack({})
    same.attributes(saved, Evaluates(0), "Evaluates")
    other.attributes(saved, Evaluates(1), "Evaluates")
    assert same.told == []
    assert other.told == ["Evaluates.rows: is not the array that the script had made when it was saved"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (itertools.count(), "Holder.odd: a state of itertools.count cannot be captured"),
        ((n for n in range(3)), "Holder.odd: a state of generator cannot be captured"),
        ({(1, 2): 3}, "Holder.odd: is a dict with keys other than text and numbers"),
        ([[iter([])]], "Holder.odd[0][0]: a state of list_iterator cannot be captured"),
    ],
)
def test_what_cannot_be_kept_is_named_by_its_place(value: Any, reason: str) -> None:
    class Odd:
        def __init__(self) -> None:
            self.odd = value

    assert kept(Odd())[1].reasons == [reason]


def test_a_file_that_is_only_written_to_and_code_are_no_state(tmp_path: Path) -> None:
    class Logs:
        def __init__(self) -> None:
            self.file = (tmp_path / "log").open("w")
            self.function, self.module, self.kind = kept, json, Path

    logs = Logs()
    with logs.file:
        assert (kept(logs)[0], kept(logs)[1].reasons) == ({}, [])


def test_a_generator_that_is_made_only_while_training_is_made_again() -> None:
    class Late:
        rng: Any

    old, new = Late(), Late()
    old.rng = random.Random(1)
    saved, capture = kept(old)
    put = PutBack(capture.arrays)
    put.attributes(saved, new, "Late")
    assert type(new.rng) is random.Random
    assert put.generators == {"Late.rng": new.rng}


def test_a_kind_that_is_not_known_is_refused() -> None:
    with pytest.raises(BackendError, match="which this version does not know"):
        PutBack({}).attributes({"x": {"is": "code"}}, Holder(), "Holder")
