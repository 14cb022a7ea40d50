"""``plain`` returns what writing and reading would, of every value that can be written."""

import math
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from ckptkit.errors import CkptkitError
from ckptkit.formats import strict_json


class Word(str):
    __slots__ = ()


VALUES: list[Any] = [
    None,
    True,
    0,
    -(2**70),
    2**53,
    1.5,
    -0.0,
    math.inf,
    "Ärger",
    Word("word"),
    np.float64(0.1),
    (1, (2, "three"), [4.0]),
    OrderedDict(b=(1, 2), a={"c": [True, None]}),
    {"words": list(range(600)), "mixed": [1, "a", True, None, 2.5]},
    [],
    {},
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:40])
def test_plain_is_what_comes_back_from_the_file(value: Any) -> None:
    back = strict_json.loads(strict_json.dumps({"value": value}))
    mine = strict_json.plain({"value": value})
    assert repr(mine) == repr(back)  # types count, and the sign of zero


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:40])
def test_what_is_written_in_one_go_is_what_dumps_writes(value: Any) -> None:
    fields = strict_json.plain(
        {"value": value, "a": {"b": {"c": {"d": {"e": {"f": [value]}}}}}, 'key "ä"\n': [[value]]}
    )
    members = {name: strict_json.written(inner, margin="  ") for name, inner in fields.items()}
    text = strict_json.joined(members)
    assert text == strict_json.written(fields)
    assert text.canonical.encode() == strict_json.dumps(fields)
    assert repr(strict_json.loads(text.lines.encode())) == repr(strict_json.loads(text.canonical.encode()))


@pytest.mark.parametrize(
    "value", [{1: 2}, {"$number": "1"}, b"x", {"a": {2}}, "\ud800", [["\ud800"]], {"\ud800": 1}], ids=repr
)
def test_plain_refuses_what_cannot_be_written(value: Any) -> None:
    with pytest.raises(CkptkitError):
        strict_json.dumps({"value": value})
    with pytest.raises(CkptkitError):
        strict_json.plain({"value": value})


def test_plain_refuses_what_is_nested_too_deep() -> None:
    value: Any = 1
    for _ in range(strict_json.MAX_DEPTH + 1):
        value = [value]
    with pytest.raises(strict_json.StrictJsonError, match="levels of nesting"):
        strict_json.plain(value)
