"""Golden examples of prune plans, with the reasons that a person reads."""

from datetime import UTC, datetime, timedelta

import pytest

from ckptkit.errors import RefusedError, UsageError
from ckptkit.retention import Candidate, PrunePlan, RetentionPolicy, plan

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def checkpoint(step: int, run: str = "ppo/run1", **words: object) -> Candidate:
    facts = {"sequence": step, "created_at": NOW - timedelta(days=30) + timedelta(seconds=step), "size": 100} | words
    return Candidate(run=run, step=step, **facts)  # type: ignore[arg-type]  # test words, checked at run time


def decided(found: PrunePlan) -> dict[str, tuple[str, ...]]:
    return {e.candidate.name: (e.action, *e.reasons) for e in found.entries}


def kept_steps(found: PrunePlan) -> list[int]:
    return [c.step for c in found.kept]


def test_keep_last_keeps_the_highest_steps_and_says_why() -> None:
    found = plan([checkpoint(s) for s in (9, 10, 100, 1000)], RetentionPolicy(keep_last=2), now=NOW)
    assert decided(found) == {
        "ppo/run1@9": ("remove", "no rule keeps it"),
        "ppo/run1@10": ("remove", "no rule keeps it"),
        "ppo/run1@100": ("keep", "last 2"),
        "ppo/run1@1000": ("keep", "last 2", "newest that verifies"),
    }
    assert (found.kept_bytes, found.removed_bytes) == (200, 200)


def test_rules_are_added_up() -> None:
    rewards = {1000: 1.0, 2000: 187.5, 3000: 187.5, 4000: 3.0, 5000: 2.0}
    found = plan(
        [checkpoint(s, metrics={"reward": r}) for s, r in rewards.items()],
        RetentionPolicy(keep_last=1, keep_every=2000, keep_best=1, metric="reward", mode="max"),
        now=NOW,
    )
    assert decided(found) == {
        "ppo/run1@1000": ("remove", "no rule keeps it"),
        "ppo/run1@2000": ("keep", "every 2000 steps"),
        "ppo/run1@3000": ("keep", "best 1 by reward (187.5)"),
        "ppo/run1@4000": ("keep", "every 2000 steps"),
        "ppo/run1@5000": ("keep", "last 1", "newest that verifies"),
    }


def test_order_is_by_step_and_never_by_the_clock() -> None:
    clock_went_back = [checkpoint(s, created_at=NOW - timedelta(days=s)) for s in range(1, 6)]
    assert kept_steps(plan(clock_went_back, RetentionPolicy(keep_last=2), now=NOW)) == [4, 5]


def test_runs_are_counted_apart() -> None:
    found = plan([checkpoint(s, run) for run in "ab" for s in (1, 2, 3)], RetentionPolicy(keep_last=1), now=NOW)
    assert [c.name for c in found.kept] == ["a@3", "b@3"]


def test_damaged_checkpoints_fill_no_slot_and_the_newest_good_stays() -> None:
    found = plan(
        [checkpoint(1), checkpoint(2), checkpoint(3), checkpoint(4, good=False)],
        RetentionPolicy(keep_last=1),
        now=NOW,
    )
    assert kept_steps(found) == [3]
    assert decided(found)["ppo/run1@4"] == ("remove", "damaged: fills no slot")


def test_a_damaged_checkpoint_stays_when_it_is_pinned_tagged_or_recent() -> None:
    found = plan(
        [
            checkpoint(1, good=False, pinned=True),
            checkpoint(2, good=False, tags=frozenset({"paper"})),
            checkpoint(3, good=False, created_at=NOW - timedelta(hours=1)),
            checkpoint(4, good=False),
            checkpoint(5),
        ],
        RetentionPolicy(keep_tags=frozenset({"paper"}), keep_within=timedelta(hours=2)),
        now=NOW,
    )
    assert kept_steps(found) == [1, 2, 3, 5]


def test_a_run_without_anything_good_is_refused() -> None:
    with pytest.raises(RefusedError, match="ppo/run1: no checkpoint verifies") as caught:
        plan([checkpoint(1, good=False), checkpoint(2, good=False)], RetentionPolicy(keep_last=1), now=NOW)
    assert caught.value.exit_code == 5


def test_one_bad_run_does_not_hold_up_the_others() -> None:
    found = plan(
        [checkpoint(1, "bad", good=False), checkpoint(1, "fine"), checkpoint(2, "fine")],
        RetentionPolicy(keep_last=1),
        now=NOW,
    )
    assert found.refused == ("bad",)
    assert [c.name for c in found.removed] == ["fine@1"]
    assert decided(found)["bad@1"] == ("keep", "refused: nothing in this run verifies")


def test_pinned_best_future_and_resumed_from_are_always_kept() -> None:
    found = plan(
        [
            checkpoint(1, pinned=True),
            checkpoint(2, metrics={"loss": 0.1}),
            checkpoint(3, created_at=NOW + timedelta(days=365), metrics={"loss": 0.5}),
            checkpoint(4),
            checkpoint(5),
            checkpoint(6),
            checkpoint(7, "ppo/run2", parents=(("ppo/run1", 4),)),
        ],
        RetentionPolicy(keep_last=1, metric="loss", mode="min"),
        now=NOW,
    )
    assert decided(found) == {
        "ppo/run1@1": ("keep", "pinned"),
        "ppo/run1@2": ("keep", "best by loss (0.1)"),
        "ppo/run1@3": ("keep", "dated in the future"),
        "ppo/run1@4": ("keep", "resumed from by ppo/run2"),
        "ppo/run1@5": ("remove", "no rule keeps it"),
        "ppo/run1@6": ("keep", "last 1", "newest that verifies"),
        "ppo/run2@7": ("keep", "last 1", "newest that verifies"),
    }


def test_the_parent_of_a_parent_in_a_third_run_is_kept() -> None:
    found = plan(
        [
            *(checkpoint(s, "a") for s in (1, 2)),
            *(checkpoint(s, "b", parents=(("a", 1),)) for s in (3, 4, 5)),
            checkpoint(6, "c", parents=(("b", 3),)),
        ],
        RetentionPolicy(keep_last=1),
        now=NOW,
    )
    assert [c.name for c in found.kept] == ["a@1", "a@2", "b@3", "b@5", "c@6"]


def test_resume_points_of_the_run_itself_are_not_kept_for_ever() -> None:
    interrupted = [checkpoint(s, parents=(("ppo/run1", s - 1),)) for s in range(2, 50)]
    assert len(plan(interrupted, RetentionPolicy(keep_last=2), now=NOW).kept) == 2


def test_what_was_saved_last_stays_after_going_back_to_an_older_step() -> None:
    found = plan(
        [checkpoint(8000, sequence=1), checkpoint(9000, sequence=2), checkpoint(6000, sequence=3)],
        RetentionPolicy(keep_last=1),
        now=NOW,
    )
    assert decided(found)["ppo/run1@6000"] == ("keep", "saved last")
    assert kept_steps(found) == [6000, 9000]


def test_nan_infinite_and_missing_metrics_never_rank_and_the_newer_of_equals_wins() -> None:
    values = {1: 5.0, 2: 5.0, 3: float("inf"), 4: float("nan"), 5: float("-inf")}
    some = [checkpoint(s, metrics={"reward": v}) for s, v in values.items()] + [checkpoint(6)]
    for mode in ("min", "max"):
        found = plan(some, RetentionPolicy(keep_best=1, metric="reward", mode=mode), now=NOW)  # type: ignore[arg-type]  # a loop variable is a str
        assert kept_steps(found) == [2, 6]


def test_keep_every_takes_the_first_good_one_at_or_after_each_multiple() -> None:
    steps = [2048 * i for i in range(1, 12)]
    found = plan([checkpoint(s, good=s != 10240) for s in steps], RetentionPolicy(keep_every=10_000), now=NOW)
    assert kept_steps(found) == [12_288, 20_480, 22_528]


def test_keep_every_is_the_plain_multiple_when_those_steps_were_saved() -> None:
    found = plan([checkpoint(s) for s in range(0, 5500, 500)], RetentionPolicy(keep_every=2000), now=NOW)
    assert kept_steps(found) == [0, 2000, 4000, 5000]


def test_periods_keep_the_newest_of_each_and_skip_empty_ones() -> None:
    days = {1: 9, 2: 9, 3: 7, 4: 4, 5: 4, 6: 2, 7: 2}  # step -> days ago
    some = [checkpoint(s, created_at=NOW - timedelta(days=d) + timedelta(minutes=s)) for s, d in days.items()]
    assert kept_steps(plan(some, RetentionPolicy(keep_daily=3), now=NOW)) == [3, 5, 7]


@pytest.mark.parametrize(("rule", "kept"), [("hourly", 4), ("daily", 4), ("weekly", 4), ("monthly", 3), ("yearly", 2)])
def test_every_period_has_its_rule(rule: str, kept: int) -> None:
    ago = [400, 40, 8, 0]
    some = [checkpoint(i, created_at=NOW - timedelta(days=d)) for i, d in enumerate(ago)]
    found = plan(some, RetentionPolicy(**{f"keep_{rule}": 10}), now=NOW)  # type: ignore[arg-type]  # names are data here
    assert len(found.kept) == kept
    assert f"{rule} 10" in found.entries[-1].reasons


def test_a_future_date_takes_no_slot_of_a_period() -> None:
    some = [checkpoint(1), checkpoint(2, created_at=NOW + timedelta(days=9)), checkpoint(3, created_at=NOW)]
    assert "daily 2" in plan(some, RetentionPolicy(keep_daily=2), now=NOW).entries[0].reasons


def test_a_tag_or_metric_that_matches_nothing_is_refused_with_the_nearest() -> None:
    some = [checkpoint(1, tags=frozenset({"release"}), metrics={"reward": 1.0}), checkpoint(2)]
    with pytest.raises(RefusedError, match="tag 'relase' matches nothing") as caught:
        plan(some, RetentionPolicy(keep_last=1, keep_tags=frozenset({"relase"})), now=NOW)
    assert "'release'" in caught.value.hint
    with pytest.raises(RefusedError, match="metric 'rewards' matches nothing"):
        plan(some, RetentionPolicy(keep_best=1, metric="rewards", mode="max"), now=NOW)


def test_a_tag_that_only_another_run_has_is_no_typo() -> None:
    some = [checkpoint(1, "a", tags=frozenset({"paper"})), checkpoint(1, "b"), checkpoint(2, "b")]
    assert [c.name for c in plan(some, RetentionPolicy(keep_tags=frozenset({"paper"})), now=NOW).kept] == ["a@1", "b@2"]


def test_max_size_drops_damaged_ones_and_then_the_oldest_until_the_rest_fits() -> None:
    some = [checkpoint(1, pinned=True), *(checkpoint(s, good=s != 4) for s in range(2, 8))]
    found = plan(some, RetentionPolicy(keep_last="all", max_size=350), now=NOW)
    assert kept_steps(found) == [1, 6, 7]
    assert decided(found)["ppo/run1@4"] == ("remove", "over the 350 B of max_size")
    assert found.notes == ()


def test_max_size_alone_keeps_as_much_as_fits() -> None:
    found = plan([checkpoint(s) for s in range(1, 6)], RetentionPolicy(max_size=250), now=NOW)
    assert decided(found)["ppo/run1@4"] == ("keep", "fits in 250 B")
    assert kept_steps(found) == [4, 5]


def test_max_size_never_takes_what_is_protected_and_says_that_it_does_not_fit() -> None:
    some = [checkpoint(1, pinned=True), checkpoint(2, tags=frozenset({"paper"})), checkpoint(3), checkpoint(4)]
    found = plan(some, RetentionPolicy(keep_tags=frozenset({"paper"}), keep_last=3, max_size=10), now=NOW)
    assert kept_steps(found) == [1, 2, 4]
    assert found.notes == ("ppo/run1: what is protected takes 300 B, more than max_size 10 B",)


def test_a_dropped_child_lets_its_parent_go_as_well() -> None:
    some = [
        *(checkpoint(s, "a") for s in (1, 2)),
        checkpoint(1, "b", parents=(("a", 1),)),
        checkpoint(2, "b"),
    ]
    policies = {"a": RetentionPolicy(keep_last=1), "b": RetentionPolicy(keep_last=2, max_size=100)}
    assert [c.name for c in plan(some, policies, now=NOW).kept] == ["a@2", "b@2"]


def test_runs_without_a_policy_are_left_alone_but_their_parents_count() -> None:
    some = [*(checkpoint(s, "a") for s in (1, 2, 3)), *(checkpoint(s, "b", parents=(("a", 1),)) for s in (4, 5))]
    found = plan(some, {"a": RetentionPolicy(keep_last=1)}, now=NOW)
    assert [(e.candidate.name, e.action) for e in found.entries] == [
        ("a@1", "keep"),
        ("a@2", "remove"),
        ("a@3", "keep"),
    ]


def test_a_policy_for_a_run_that_does_not_exist_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="b: has no checkpoints"):
        plan([checkpoint(1, "a")], {"b": RetentionPolicy(keep_last=1)}, now=NOW)


def test_an_empty_store_has_an_empty_plan() -> None:
    assert plan([], RetentionPolicy(keep_last=1), now=NOW).entries == ()


def test_all_keeps_everything_even_what_is_damaged() -> None:
    found = plan([checkpoint(1, good=False), checkpoint(2)], RetentionPolicy(keep_last="all"), now=NOW)
    assert kept_steps(found) == [1, 2]


def test_the_digest_depends_on_the_decisions_and_not_on_the_time() -> None:
    some, policy = [checkpoint(s) for s in range(5)], RetentionPolicy(keep_last=2)
    first = plan(some, policy, now=NOW).digest
    assert first == plan(list(reversed(some)), policy, now=NOW + timedelta(days=3)).digest
    assert first.startswith("blake3:")
    assert first != plan(some, RetentionPolicy(keep_last=3), now=NOW).digest
    assert first != plan([*some, checkpoint(5)], policy, now=NOW).digest


def test_dates_without_a_time_zone_are_refused() -> None:
    with pytest.raises(UsageError, match="time zone"):
        checkpoint(1, created_at=datetime(2026, 1, 1))
    with pytest.raises(UsageError, match="time zone"):
        plan([checkpoint(1)], RetentionPolicy(keep_last=1), now=datetime(2026, 1, 1))
