"""The linear searches for shared runs and pairs against the obvious ones, on random episodes full of repetitions."""

import numpy as np
import pytest
from ckptkit_data.pairs import pairs_of, places_of
from ckptkit_data.segments import Segments
from ckptkit_data.sharing import identical, shared_runs
from hypothesis import given, settings
from hypothesis import strategies as st

LEAST = 3
episodes = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=14), min_size=1, max_size=6)


def laid_out(lists: list[list[int]]) -> tuple[np.ndarray, Segments]:
    keys = np.concatenate([np.array(x, np.uint64) for x in lists])
    lengths = np.array([len(x) for x in lists])
    stop = np.cumsum(lengths)
    return keys, Segments(stop - lengths, stop, np.arange(len(lists)), np.repeat(np.arange(len(lists)), lengths))


@settings(max_examples=400)
@given(episodes)
def test_every_run_is_shared_is_as_long_as_it_can_be_and_is_told_once(lists: list[list[int]]) -> None:
    keys, segments = laid_out(lists)
    runs, unseen = shared_runs(keys, segments, LEAST)
    assert unseen == 0
    assert len({(r.start, r.other) for r in runs}) == len(runs)
    for r in runs:
        assert segments.of[r.start] == segments.of[r.start + r.length - 1] == r.segment
        assert segments.of[r.other] == segments.of[r.other + r.length - 1] == r.other_segment < r.segment
        assert (keys[r.start : r.start + r.length] == keys[r.other : r.other + r.length]).all()
        assert len(set(keys[r.start : r.start + r.length].tolist())) >= LEAST
        for a, b in ((r.start - 1, r.other - 1), (r.start + r.length, r.other + r.length)):
            within = min(a, b) >= 0 and max(a, b) < len(keys)
            within = within and segments.of[a] == r.segment and segments.of[b] == r.other_segment
            assert not within or keys[a] != keys[b]


@settings(max_examples=400)
@given(episodes)
def test_no_window_of_different_frames_that_an_earlier_episode_has_is_missed(lists: list[list[int]]) -> None:
    keys, segments = laid_out(lists)
    runs = [*identical(keys, segments), *shared_runs(keys, segments, LEAST)[0]]
    told = {(r.segment, p) for r in runs for p in range(r.start, r.start + r.length)}
    for number, (_, start, stop) in enumerate(segments):
        for at in range(start, stop - LEAST + 1):
            window = keys[at : at + LEAST].tolist()
            first = next(p for p in range(len(keys)) if keys[p : p + LEAST].tolist() == window and whole(segments, p))
            if len(set(window)) == LEAST and segments.of[first] != number:
                assert {(number, p) for p in range(at, at + LEAST)} <= told


def whole(segments: Segments, position: int) -> bool:
    return position + LEAST <= len(segments.of) and segments.of[position] == segments.of[position + LEAST - 1]


@settings(max_examples=100)
@given(episodes)
def test_identical_episodes_are_those_that_are_equal(lists: list[list[int]]) -> None:
    keys, segments = laid_out(lists)
    found = {(r.segment, r.other_segment) for r in identical(keys, segments)}
    assert found == {(n, lists.index(x)) for n, x in enumerate(lists) if lists.index(x) != n}


@settings(max_examples=400)
@given(episodes)
def test_the_pairs_are_all_that_have_a_value_in_common_with_how_many(lists: list[list[int]]) -> None:
    keys, segments = laid_out(lists)
    found = {(late, early): count for late, early, count, _, _ in pairs_of(places_of(keys, segments))}
    common = {(m, n): len(set(lists[m]) & set(lists[n])) for m in range(len(lists)) for n in range(m)}
    assert found == {pair: count for pair, count in common.items() if count}
    for late, early, _, start, other in pairs_of(places_of(keys, segments)):
        assert (segments.of[start], segments.of[other]) == (late, early)
        assert keys[start] == keys[other]


@settings(max_examples=100)
@given(episodes)
def test_shares_of_repeated_frames_are_those_of_a_count(lists: list[list[int]]) -> None:
    keys, segments = laid_out(lists)
    every = [value for x in lists for value in x]
    places = places_of(keys, segments)
    spread = [value for value in every if sum(value in x for x in lists) > 1]
    assert places.repeated == pytest.approx(1 - len(set(every)) / len(every))
    assert places.spread == pytest.approx(len(spread) / len(every))
