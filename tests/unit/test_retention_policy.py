"""What a policy may say, and how durations and sizes are read."""

from datetime import timedelta

import pytest

from ckptkit.errors import UsageError
from ckptkit.retention import (
    RetentionPolicy,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
    policy_from_words,
)


def test_an_empty_policy_is_refused() -> None:
    with pytest.raises(UsageError, match="names nothing to keep"):
        RetentionPolicy()
    with pytest.raises(UsageError, match="names nothing to keep"):
        RetentionPolicy(metric="loss", mode="min")


@pytest.mark.parametrize("name", ["keep_last", "keep_every", "keep_best", "keep_hourly", "keep_daily", "keep_yearly"])
@pytest.mark.parametrize("value", [0, -1, 10**9 + 1, 2**70, True, 1.0, "three", "1e99", "0", "-1", "", "all!", "٣"])
def test_counts_that_are_not_sensible_are_usage_errors(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=name):
        policy_from_words({name: value, "metric": "reward", "mode": "max"})


def test_all_is_a_word_for_keep_last_only() -> None:
    assert policy_from_words({"keep_last": "all"}).keep_last == "all"
    with pytest.raises(UsageError, match="keep_every"):
        policy_from_words({"keep_every": "all"})


def test_best_needs_a_metric_and_a_direction() -> None:
    with pytest.raises(UsageError, match="keep_best: best by which metric"):
        RetentionPolicy(keep_best=2)
    with pytest.raises(UsageError, match="metric: needs the mode"):
        RetentionPolicy(keep_best=2, metric="loss")
    with pytest.raises(UsageError, match="mode: needs the metric"):
        RetentionPolicy(keep_last=2, mode="min")
    with pytest.raises(UsageError, match="mode: 'best'"):
        policy_from_words({"keep_best": 2, "metric": "loss", "mode": "best"})


def test_words_of_the_command_line_become_a_policy() -> None:
    words = {"keep_last": "3", "keep_within": "7d", "max_size": "10GB", "keep_tags": ["a", "b"], "keep_daily": None}
    assert policy_from_words(words) == RetentionPolicy(
        keep_last=3, keep_within=timedelta(days=7), max_size=10**10, keep_tags=frozenset({"a", "b"})
    )


def test_an_unknown_rule_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="keep_lats: not a retention rule") as caught:
        policy_from_words({"keep_lats": 3})
    assert caught.value.hint == "did you mean keep_last?"


@pytest.mark.parametrize(
    "words",
    [
        {"keep_tags": 5},
        {"keep_tags": [[1]]},
        {"metric": 5, "mode": "min"},
        {"keep_within": "7"},
        {"keep_within": 7},
        {"max_size": "10 apples"},
        {"keep_tags": [""]},
        {"max_size": 0},
    ],
)
def test_quantities_that_make_no_sense_name_their_rule(words: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(words))):
        policy_from_words(words)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7d", 604_800), ("12h", 43_200), ("30m", 1800), ("2w", 1_209_600), ("1.5h", 5400), ("90 s", 90)],
)
def test_durations_are_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "7", "d", "-7d", "0d", "7 days", "1e3h", "7D", "999999w", "nan d", "٧d", "7d12h"])
def test_other_durations_are_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration(text)
    assert '"7d"' in caught.value.hint


@pytest.mark.parametrize(
    ("text", "size"),
    [("10GB", 10**10), ("500MiB", 500 << 20), ("1.5T", 15 * 10**11), ("4096", 4096), ("1 kb", 1000), ("7B", 7)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "0", "10XB", "1e9", "999999EB", "10GBps", "0x10"])
def test_other_sizes_are_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert '"10GB"' in caught.value.hint


def test_quantities_are_written_for_people() -> None:
    assert [format_duration(timedelta(hours=h)) for h in (1, 36, 24, 336)] == ["1h", "36h", "1d", "2w"]
    assert format_duration(timedelta(seconds=61)) == "61s"
    sizes = [999, 1000, 1_500_000_000, 999_999, 12_345_678, 123_456_789]
    assert [format_size(s) for s in sizes] == ["999 B", "1.00 kB", "1.50 GB", "1.00 MB", "12.3 MB", "123 MB"]
