"""Laws of prune plans that hold for every store and every policy."""

from datetime import UTC, datetime, timedelta

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ckptkit.errors import RefusedError
from ckptkit.retention import Candidate, PrunePlan, RetentionPolicy, plan

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
RUNS = ["a", "b", "c"]
COUNT = st.none() | st.integers(1, 5)
STEP = st.integers(0, 12)

candidates = st.builds(
    Candidate,
    run=st.sampled_from(RUNS),
    step=STEP,
    sequence=st.integers(0, 20),
    created_at=st.integers(-3000, 40).map(lambda hours: NOW + timedelta(hours=hours)),
    size=st.integers(0, 50),
    metrics=st.dictionaries(st.just("loss"), st.sampled_from([1.0, 2.0, 2.0, float("nan"), float("inf")])),
    tags=st.frozensets(st.sampled_from(["x", "y"])),
    pinned=st.sampled_from([False, False, False, True]),
    good=st.sampled_from([True, True, False]),
    parents=st.lists(st.tuples(st.sampled_from(RUNS), STEP), max_size=1).map(tuple),
)
stores = st.lists(candidates, min_size=1, max_size=25, unique_by=lambda c: (c.run, c.step, c.sequence))


@st.composite
def policies(draw: st.DrawFn) -> RetentionPolicy:
    best = draw(COUNT)
    rules = {
        f"keep_{name}": draw(COUNT) for name in ("last", "every", "hourly", "daily", "weekly", "monthly", "yearly")
    }
    within = draw(st.none() | st.integers(1, 4000).map(lambda h: timedelta(hours=h)))
    tags = draw(st.sampled_from([frozenset[str](), frozenset({"x"})]))
    size = draw(st.none() | st.integers(1, 300))
    assume(best or any(rules.values()) or within or tags or size)
    if best or draw(st.booleans()):
        rules |= {"keep_best": best, "metric": "loss", "mode": draw(st.sampled_from(["min", "max"]))}
    return RetentionPolicy(**rules, keep_within=within, keep_tags=tags, max_size=size)


def planned(store: list[Candidate], policy: RetentionPolicy) -> PrunePlan:
    try:
        return plan(store, policy, now=NOW)
    except RefusedError:
        assume(False)
        raise


@given(stores, policies())
@settings(max_examples=150)
def test_the_newest_good_and_every_protected_checkpoint_is_kept(
    store: list[Candidate], policy: RetentionPolicy
) -> None:
    found = planned(store, policy)
    kept = {id(c) for c in found.kept}
    assert sorted(map(id, store)) == sorted(id(e.candidate) for e in found.entries)
    assert all(e.reasons for e in found.entries)
    for run in RUNS:
        good = [c for c in store if c.run == run and c.good]
        if good:
            assert id(max(good, key=lambda c: c.order)) in kept
        ranked = [c for c in good if policy.metric and c.metrics.get("loss") in (1.0, 2.0)]
        if ranked:
            best = (min if policy.mode == "min" else max)(c.metrics["loss"] for c in ranked)
            assert id(max((c for c in ranked if c.metrics["loss"] == best), key=lambda c: c.order)) in kept
    for child in found.kept:
        for parent in store:
            if (parent.run, parent.step) in child.parents and parent.run != child.run:
                assert id(parent) in kept
    assert all(id(c) in kept for c in store if c.pinned or c.created_at > NOW + timedelta(minutes=5))


@given(stores, policies())
@settings(max_examples=150)
def test_planning_again_after_removing_removes_nothing(store: list[Candidate], policy: RetentionPolicy) -> None:
    found = planned(store, policy)
    assume(policy.metric is None or any("loss" in c.metrics for c in found.kept))
    assert plan(found.kept, policy, now=NOW).removed == ()


@given(stores, policies(), st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_the_plan_does_not_depend_on_the_order_of_the_listing(store, policy, random) -> None:  # type: ignore[no-untyped-def]  # fixtures of hypothesis
    found = planned(store, policy)
    shuffled = random.sample(store, len(store))
    again = plan(shuffled, policy, now=NOW)
    assert (found.entries, found.digest) == (again.entries, again.digest)


@given(stores, st.integers(1, 5))
@settings(max_examples=150)
def test_never_more_is_kept_than_asked_for_beyond_what_is_protected(store: list[Candidate], count: int) -> None:
    found = planned(store, RetentionPolicy(keep_last=count))
    for run in set(RUNS) - set(found.refused):
        slots = [e for e in found.entries if e.candidate.run == run and e.reasons == (f"last {count}",)]
        assert len(slots) <= count
        asked = [e for e in found.entries if e.candidate.run == run and f"last {count}" in e.reasons]
        assert len(asked) == min(count, sum(c.good for c in store if c.run == run))


@given(stores, st.integers(1, 300))
@settings(max_examples=150)
def test_what_is_kept_fits_unless_the_plan_says_otherwise(store: list[Candidate], limit: int) -> None:
    found = planned(store, RetentionPolicy(keep_last="all", max_size=limit))
    for run in {c.run for c in store}:
        fits = sum(c.size for c in found.kept if c.run == run) <= limit
        assert fits != any(note.startswith(f"{run}:") for note in found.notes)
