"""An item that knows at which boundary it was taken says so; the checkpoint's manifest takes it over."""

from typing import Any

import pytest

from ckptkit.errors import UsageError
from ckptkit.store.item_entries import lift_boundary

EARLY = {"kind": "step", "requested_at": 40, "saved_at": 40}
LATE = {"kind": "rollout", "requested_at": 40, "saved_at": 64}


def entries(**boundaries: Any) -> dict[str, dict[str, Any]]:
    return {name: {"backend": "x", "boundary": boundary} for name, boundary in boundaries.items()}


def test_the_one_item_that_knows_its_boundary_gives_the_checkpoints() -> None:
    items = entries(agent=LATE, data=None)
    assert lift_boundary(items, None) == LATE
    assert items == {"agent": {"backend": "x"}, "data": {"backend": "x"}}


def test_the_callers_word_comes_before_that_of_the_items() -> None:
    items = entries(agent=LATE, other=EARLY)
    assert lift_boundary(items, EARLY) == EARLY
    assert "boundary" not in items["agent"]


def test_items_that_agree_speak_as_one_and_none_says_nothing() -> None:
    assert lift_boundary(entries(one=LATE, two=dict(LATE)), None) == LATE
    assert lift_boundary(entries(one=None), None) is None


def test_items_that_disagree_need_the_callers_word() -> None:
    with pytest.raises(UsageError, match="'one' and 'two' were taken at different boundaries"):
        lift_boundary(entries(one=EARLY, two=LATE), None)
