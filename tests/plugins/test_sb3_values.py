"""Values of Python's library, slots, and objects that a fresh target does not have yet, as nodes and back."""

import itertools
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import pytest
from ckptkit_sb3.decoding import Decoder
from ckptkit_sb3.encoding import Encoder

from ckptkit.errors import BackendError


class Held:
    pass


class Slotted:
    __slots__ = ("a", "b")


@dataclass(slots=True, frozen=True)
class Frozen:
    x: int
    y: object


class Closing(Held):
    def __del__(self) -> None: ...


def moved(steps: int) -> Any:
    """Return an object whose values have been used for some steps."""
    held: Any = Held()
    held.counter, held.lists = Counter("ab" * steps), defaultdict(list)
    held.lists["k"].append(steps)
    held.numbers, held.halves = itertools.count(steps, 2), itertools.count(0.5 * steps)
    held.turning, held.turned = itertools.cycle([1, 2, 3]), itertools.cycle((1, 2, 3))
    for turning, count in ((held.turning, steps), (held.turned, 2)):
        for _ in range(count):
            next(turning)
    held.frozen, held.slotted = Frozen(steps, [steps]), Slotted()
    held.slotted.a = steps
    if steps > 2:
        held.slotted.b = [1]
    return held


def put(value: Any, target: Any, **more: Any) -> None:
    arrays: dict[str, Any] = {}
    encoder = Encoder(arrays, "")
    nodes = json.loads(json.dumps(encoder.attributes(value, "value")))
    assert not encoder.left_out
    decoder = Decoder(arrays, **more)
    decoder.attributes(nodes, target, "value")
    decoder.apply()


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7])
def test_values_of_pythons_library_come_back_where_they_were(steps: int) -> None:
    saved, target = moved(steps), moved(5)
    put(saved, target)
    assert (target.counter, type(target.counter)) == (saved.counter, Counter)
    assert target.lists == saved.lists
    assert target.lists["new"] == []
    for name in ("numbers", "halves", "turning", "turned"):
        ahead = [next(getattr(saved, name)) for _ in range(8)]
        assert [next(getattr(target, name)) for _ in range(8)] == ahead
    assert target.frozen == saved.frozen
    assert (target.slotted.a, hasattr(target.slotted, "b")) == (steps, steps > 2)


def test_a_cycle_over_a_generator_cannot_be_said() -> None:
    held: Any = Held()
    held.turning = itertools.cycle(i for i in range(3))
    encoder = Encoder({}, "")
    encoder.attributes(held, "value")
    assert encoder.left_out == ["value.turning (itertools.cycle)"]


def test_an_object_that_is_not_there_yet_is_made_of_a_class_that_the_target_knows() -> None:
    saved: Any = Held()
    target: Any = Held()
    saved.inner = Held()
    saved.inner.x = 3
    with pytest.raises(BackendError, match="instead of"):
        put(saved, Held())
    put(saved, target, classes={f"{__name__}.Held": Held})
    assert target.inner.x == 3


def test_two_objects_never_share_the_place_of_one() -> None:
    saved: Any = Held()
    target: Any = Held()
    saved.a, saved.b, target.a = Held(), Held(), Held()
    target.b = target.a
    saved.a.x, saved.b.x = 1, 2
    put(saved, target, classes={})
    assert (target.a.x, target.b.x) == (1, 2)


def test_no_object_with_a_finalizer_is_made_from_a_file() -> None:
    saved: Any = Held()
    saved.inner = Closing()
    with pytest.raises(BackendError, match="instead of"):
        put(saved, Held(), classes={f"{__name__}.Closing": Closing})
