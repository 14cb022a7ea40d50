"""What all hooks take: values for schedule and retention; the old words work for one more version and warn."""

import inspect
import warnings
from dataclasses import fields
from typing import Any

import pytest
from ckptkit_hooks import hf, keras_, lightning_, sb3
from ckptkit_hooks.arguments import Arguments, HookFields, ranking_of

from ckptkit import Ranking, Retain, RetentionPolicy, Schedule, UsageError

STEPS = ("every_steps", "every_epochs")


def taken(*units: str, **said: Any) -> Arguments:
    return Arguments.of(said, *units, where="the hook")  # type: ignore[arg-type]


def test_every_hook_takes_the_same_words() -> None:
    for module in (hf, keras_, lightning_, sb3):
        parameters = inspect.signature(module.CheckpointCallback).parameters
        assert parameters["how"].kind is inspect.Parameter.VAR_KEYWORD
        assert not set(parameters) & set(HookFields.__annotations__)
    assert {field.name for field in fields(Arguments)} < set(HookFields.__annotations__)


def test_values_are_taken_as_they_are() -> None:
    retain, schedule = Retain(last=3), Schedule(every_steps=10)
    said = taken(*STEPS, retain=retain, schedule=schedule, sigterm=False, resume=["train"], prove="never")
    assert (said.retain, said.schedule, said.sigterm, said.resume, said.prove) == (
        retain, schedule, False, ["train"], "never",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "policy"),
    [
        ({"keep_last_n": 3}, "retain=Retain(last=3)", Retain(last=3)),
        (
            {"keep_last_n": 2, "keep_best_n": 1, "best_metric": "loss", "best_mode": "min"},
            "retain=Retain(last=2, best=1, metric='loss', mode='min')",
            Retain(last=2, best=1, metric="loss", mode="min"),
        ),
        (
            {"best_metric": "loss", "best_mode": "min"},
            "retain=Retain(last='all', mode='min', metric='loss')",
            Retain(last="all", metric="loss", mode="min"),
        ),
    ],
)
def test_old_words_of_retention_mean_what_they_meant_and_name_the_new(
    old: dict[str, Any], new: str, policy: RetentionPolicy
) -> None:
    with pytest.warns(DeprecationWarning, match="goes with the next version") as caught:
        assert taken(**old).retain == policy
    assert new in str(caught[0].message)


def test_old_intervals_mean_what_they_meant_and_name_the_new() -> None:
    with pytest.warns(DeprecationWarning, match=r"every_steps=5 is now schedule=Schedule\(every_steps=5\)"):
        assert taken(*STEPS, every_steps=5, every_epochs=None).schedule == Schedule(every_steps=5)


def test_the_warning_points_at_the_line_that_made_the_hook(tmp_path: Any) -> None:
    with pytest.warns(DeprecationWarning, match="goes with the next version") as caught:
        sb3.CheckpointCallback(tmp_path, "run", every_steps=5, prove="never")
    assert [warning.filename for warning in caught] == [__file__]


def test_old_words_that_are_none_are_not_given() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = taken(*STEPS, keep_last_n=None, every_steps=None, best_metric=None, retain=None, schedule=None)
    assert (said.retain, said.schedule) == (None, Schedule())


@pytest.mark.parametrize(
    "said",
    [
        {"keep_last_n": 3, "retain": Retain(last=3)},
        {"every_steps": 3, "schedule": Schedule(every_steps=3)},
        {"schedule": Schedule(every_episodes=3)},
    ],
)
def test_what_is_given_twice_or_is_not_counted_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        taken(*STEPS, **said)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "said", [{"keep_last_n": 0}, {"keep_best_n": 1}, {"keep_best_n": 1, "best_metric": "loss"}, {"every_steps": 0}]
)
def test_absurd_old_words_are_refused_before_training(said: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        taken(*STEPS, **said)


def test_a_word_that_a_hook_does_not_know_is_named_with_the_nearest() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'keep_last'; did you mean 'keep_last_n'"):
        taken(keep_last=3)
    with pytest.raises(TypeError, match="schedule"):
        taken(schedule=Schedule(every_steps=1))  # of a framework that decides by itself


def test_the_best_of_rewards_is_the_highest_in_old_words() -> None:
    with pytest.warns(DeprecationWarning, match="goes with the next version"):
        said = Arguments.of({"keep_best_n": 1}, where="SB3", best_by=("ep_rew_mean", "max"))
    assert said.retain == Retain(best=1, metric="ep_rew_mean", mode="max")
    with pytest.warns(DeprecationWarning, match="goes with the next version"):
        assert Arguments.of({"keep_last_n": 1}, where="SB3", best_by=("ep_rew_mean", "max")).retain == Retain(last=1)


def test_the_metric_of_retention_says_which_one_is_the_best() -> None:
    assert ranking_of(Retain(last="all", metric="loss", mode="min")) == Ranking("loss", "min")
    assert ranking_of(Retain(last=3)) == ranking_of(None) == Ranking(None, "max")


@pytest.mark.parametrize(
    ("said", "hint"), [({"schedule": 100}, "Schedule(every_steps=100)"), ({"retain": 3}, "Retain(last=3)")]
)
def test_a_number_is_no_schedule_and_no_policy(said: dict[str, Any], hint: str) -> None:
    with pytest.raises(UsageError, match="the hook: ") as caught:
        taken(*STEPS, **said)
    assert hint in str(caught.value.hint)
