"""A dict, list or dataclass of generators that training changed is put back into what the program builds, and told."""

import random
import sys
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from ckptkit_numpy import NumpyRngBackend

from ckptkit import CheckpointStore
from ckptkit.backend import LoadContext, SaveContext
from ckptkit.errors import BackendError

BACKEND = NumpyRngBackend()


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass(frozen=True, slots=True)
class Worker:
    rng: Any
    seed: int

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError("code of the class ran")


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def put(saved: Any, target: Any, folder: Path, **metadata: Any) -> list[str]:
    """Save one and load it into the other; return the notes."""
    folder.mkdir(exist_ok=True)
    said = BACKEND.save(saved, folder, context=SaveContext(step=1))
    context = LoadContext(["rng.json"], metadata={**said.metadata, **metadata}, format_version=2)
    assert BACKEND.load(folder, target=target, context=context) is target
    assert BACKEND.digests(target) == BACKEND.digests(saved)
    return context.notes


def test_the_store_tells_what_was_added_removed_and_exchanged(tmp_path: Path) -> None:
    store, target = CheckpointStore(tmp_path), {"a": rng(), "b": rng(2), "c": rng(3)}
    saved = {"a": np.random.Generator(np.random.MT19937(5)), "c": random.Random(6), "d": rng(7)}
    store.save("r", 1, {"rng": saved})
    assert store.restore("r", into={"rng": target}).warnings == [
        "item 'rng': generators.a: is Generator(MT19937) in place, where the program builds Generator(PCG64)",
        "item 'rng': generators.c: random.Random took the place of Generator(PCG64); "
        "what else holds that was not put back",
        "item 'rng': generators.d: Generator(PCG64) was added, the program builds nothing there",
        "item 'rng': generators.b: Generator(PCG64) was removed, the checkpoint has nothing there; "
        "what else holds it was not put back",
    ]
    assert target["c"].random() == saved["c"].random()


@pytest.mark.parametrize("bits", [np.random.MT19937, np.random.SFC64, np.random.Philox, np.random.PCG64DXSM])
@pytest.mark.parametrize("kind", [np.random.Generator, np.random.RandomState])
def test_whoever_holds_a_generator_holds_it_still_with_another_bit_generator(
    kind: Any, bits: Any, tmp_path: Path
) -> None:
    saved, target = {"a": kind(bits(5))}, {"a": kind(np.random.PCG64(1))}
    held, draw = target["a"], target["a"].standard_normal
    saved["a"].standard_normal()
    put(saved, target, tmp_path)
    assert target["a"] is held
    assert draw(5).tolist() == saved["a"].standard_normal(5).tolist()


def test_what_stays_is_the_same_object(tmp_path: Path) -> None:
    target = {"a": rng(), "b": [rng(2), rng(3)]}
    inside = target["a"], target["b"], target["b"][0]  # type: ignore[index]
    assert len(put({"a": rng(5), "b": [rng(6)], "c": rng(7)}, target, tmp_path)) == 2
    assert (target["a"], target["b"], target["b"][0]) == inside  # type: ignore[index]


def test_the_order_of_a_dict_is_the_one_at_the_save(tmp_path: Path) -> None:
    target = {"a": rng(), "b": rng(2), "c": rng(3)}
    assert put({"c": rng(6), "a": rng(5), "b": rng(4)}, target, tmp_path) == []
    assert list(target) == ["c", "a", "b"]


def test_one_object_in_two_places_becomes_two_and_two_become_one(tmp_path: Path) -> None:
    one, target = rng(), {"a": rng(2), "b": rng(3)}
    put({"a": one, "b": one}, target, tmp_path / "tied")
    assert target["a"] is target["b"]
    put({"a": rng(5), "b": rng(6)}, target, tmp_path / "untied")
    assert target["a"] is not target["b"]


def test_a_list_in_two_places_stays_one_and_becomes_two_where_they_differ(tmp_path: Path) -> None:
    shared, both = [rng()], [rng(2)]
    target = {"a": shared, "b": shared}
    both.append(rng(3))
    put({"a": both, "b": both}, target, tmp_path / "one")
    assert target["a"] is target["b"] is shared
    assert len(shared) == 2
    put({"a": [rng(4)], "b": [rng(5), rng(6)]}, target, tmp_path / "two")
    assert target["a"] is shared


def test_tuples_named_tuples_and_dataclasses_are_made_without_running_their_code(tmp_path: Path) -> None:
    worker = Worker(rng(5), 1)
    object.__setattr__(worker, "seed", -1)
    saved = {"t": (rng(), rng(2)), "p": Pair(rng(3), [rng(4)]), "w": worker, "o": OrderedDict(z=rng(6))}
    target: dict[str, Any] = {}
    put(saved, target, tmp_path)
    assert [type(target[name]) for name in ("t", "p", "w", "o")] == [tuple, Pair, Worker, OrderedDict]
    assert target["w"].seed == -1


def test_a_tuple_that_grew_is_made_anew_around_the_generators_that_stay(tmp_path: Path) -> None:
    target = {"t": (rng(), rng(2))}
    first = target["t"][0]
    put({"t": (rng(5), rng(6), rng(7))}, target, tmp_path)
    assert target["t"][0] is first
    assert isinstance(target["t"], tuple)


def test_a_class_that_this_process_does_not_have_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = {"a": rng()}
    monkeypatch.setitem(sys.modules, "gone", None)
    rows = [{"at": ["generators", "w"], "is": "gone:Worker"}]
    with pytest.raises(BackendError, match=r"generators\.w: was a Worker at the save") as caught:
        put({"a": rng(2), "w": Worker(rng(), 1)}, target, tmp_path, containers=rows)
    assert "import gone.Worker before the restore" in caught.value.hint
    assert target["a"].random() == rng().random()


def test_a_container_of_a_local_class_is_a_hazard_and_put_into_one_like_it(tmp_path: Path) -> None:
    @dataclass
    class Local:
        rng: Any

    (tmp_path / "said").mkdir()
    said = BACKEND.save({"a": Local(rng())}, tmp_path / "said", context=SaveContext(step=1))
    assert ["Local" in hazard for hazard in said.hazards] == [True]
    target = {"a": Local(rng(2))}
    put({"a": Local(rng(3))}, target, tmp_path)


def test_generators_that_a_defaultdict_makes_on_the_way_come_back_into_it(tmp_path: Path) -> None:
    def made() -> defaultdict[str, Any]:
        return defaultdict(rng)

    saved, target = made(), made()
    for name in ("b", "a"):
        saved[name].random()
    put(saved, target, tmp_path)
    assert list(target) == ["b", "a"]
    assert target["new"].random() == rng().random()


@pytest.mark.parametrize(
    "rows", [None, 3, [3], [{"at": 1, "is": 2}], [{"at": ["generators"], "is": "dict", "keys": [1]}]]
)
def test_metadata_that_say_nothing_valid_of_containers_leave_them_as_the_program_builds_them(
    rows: Any, tmp_path: Path
) -> None:
    target = {"t": (rng(), rng(2))}
    put({"t": (rng(5),)}, target, tmp_path, containers=rows)


def test_of_very_many_changes_the_first_are_told(tmp_path: Path) -> None:
    notes = put([rng(seed) for seed in range(100)], [rng()], tmp_path)
    assert len(notes) == 21
    assert notes[-1] == "and 79 more places"


def test_a_sequence_of_a_new_generator_is_put_once(tmp_path: Path) -> None:
    saved: dict[str, Any] = {"g": rng(5), "s": np.random.SeedSequence(5)}
    saved["s"].spawn(3)
    target: dict[str, Any] = {"s": np.random.SeedSequence(1)}
    put(saved, target, tmp_path)
    assert target["s"].spawn(1)[0].generate_state(2).tolist() == saved["s"].spawn(1)[0].generate_state(2).tolist()
