"""Retain and Schedule: what a training says of its checkpoints, as values."""

import itertools
from datetime import timedelta
from typing import Any

import pytest

from ckptkit import Retain, RetentionPolicy, Schedule
from ckptkit.errors import UsageError


def test_retain_makes_the_policy_of_the_same_words() -> None:
    assert Retain(last=3, best=1, metric="loss", mode="min") == RetentionPolicy(
        keep_last=3, keep_best=1, metric="loss", mode="min"
    )
    assert Retain(within="7d", max_size="1GB", tags="a") == RetentionPolicy(
        keep_within=timedelta(days=7), max_size=10**9, keep_tags=frozenset({"a"})
    )


def test_every_rule_of_a_policy_has_its_word() -> None:
    counts = ("last", "every", "best", "hourly", "daily", "weekly", "monthly", "yearly")
    words: dict[str, Any] = dict.fromkeys(counts, 2)
    policy = Retain(**words, metric="loss", mode="max", within=timedelta(days=1), tags=["x"], max_size=10)
    assert [name for name in RetentionPolicy.__dataclass_fields__ if getattr(policy, name) in (None, frozenset())] == []


@pytest.mark.parametrize(
    "words",
    [{}, {"last": 0}, {"last": -1}, {"best": 1}, {"best": 1, "metric": "loss"}, {"within": "soon"}, {"tags": [1]}],
)
def test_a_policy_that_would_keep_nothing_or_guess_is_refused(words: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Retain(**words)


@pytest.mark.parametrize("interval", [0, -1, 1.5, True, "3"])
@pytest.mark.parametrize("name", ["every_steps", "every_epochs", "every_episodes"])
def test_an_interval_that_is_none_is_refused(name: str, interval: Any) -> None:
    with pytest.raises(UsageError, match=f"{name}=.* is not an interval between checkpoints"):
        Schedule(**{name: interval})


def test_steps_fall_due_once_for_each_multiple_that_is_passed() -> None:
    schedule = Schedule(every_steps=10)
    seen = [0, 3, 9, 10, 11, 19, 25, 40]
    assert [now for before, now in itertools.pairwise(seen) if schedule.steps_due(before, now)] == [10, 25, 40]
    assert not Schedule().steps_due(0, 10**6)


def test_epochs_fall_due_at_each_multiple() -> None:
    assert [done for done in range(1, 8) if Schedule(every_epochs=3).epochs_due(done)] == [3, 6]
    assert not Schedule(every_steps=1).epochs_due(1)


def test_an_interval_that_a_framework_does_not_count_is_refused() -> None:
    assert Schedule(every_steps=1).require_only("every_steps", where="here") == Schedule(every_steps=1)
    with pytest.raises(UsageError, match="Keras has no every_episodes"):
        Schedule(every_episodes=5).require_only("every_steps", "every_epochs", where="Keras")
