"""What is written is the same whether a value goes to the library as it is, or is made ready piece by piece."""

import enum
import json
import math
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptkit.errors import UsageError
from ckptkit.formats import strict_json

numbers = st.integers(-(2**70), 2**70) | st.floats() | st.sampled_from([2**53 - 1, 2**53, -(2**53), math.inf, math.nan])
atoms = st.none() | st.booleans() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | numbers
keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="$"), max_size=4)
values = st.recursive(
    atoms,
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


def slowly(value: Any) -> bytes:
    options: dict[str, Any] = {"ensure_ascii": False, "sort_keys": True, "separators": (",", ":"), "allow_nan": False}
    return json.dumps(strict_json.encode(value), **options).encode()


@given(values)
def test_the_quick_way_writes_what_the_careful_one_does(value: Any) -> None:
    before = repr(value)
    assert strict_json.dumps(value) == slowly(value)
    assert repr(value) == before


class Level(enum.IntEnum):
    HIGH = 3


class Word(str):
    __slots__ = ()


@pytest.mark.parametrize("value", [{"a": Level.HIGH}, [np.float64(1.5)], {"a": OrderedDict(b=[1])}, [Word("x")]])
def test_kinds_of_plain_values_are_written_as_what_they_are_kinds_of(value: Any) -> None:
    assert strict_json.dumps(value) == slowly(value)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": [{"b": {1}}]}, r"\$\.a\[0\]\.b: a set"),
        ({"a": {1: 2}}, r"\$\.a: 1 cannot be a JSON key"),
        ([{"$a": 2}], r"\$\[0\]: '\$a' cannot be a JSON key"),
        ([[1, 2, "x", b"y"]], r"\$\[0\]\[3\]: a bytes"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(value: Any, where: str) -> None:
    with pytest.raises(UsageError, match=where):
        strict_json.dumps(value)
