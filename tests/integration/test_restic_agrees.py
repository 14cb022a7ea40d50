"""300 random policies keep what the real restic keeps of the same snapshots, but for what prune-safely.md tells."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from restic_repository import Repository

from ckptkit.retention import Candidate, plan
from ckptkit.retention.policy import policy_from_words

pytestmark = [
    pytest.mark.matrix,
    pytest.mark.skipif(shutil.which("restic") is None, reason="restic is not installed: apt-get install restic"),
]
POLICIES = 300
TAGS = ("release", "paper", "x")
PACE = {  # how often each host saves, and how often it does not
    "minutes": (timedelta(minutes=7), 40),
    "hours": (timedelta(hours=1), 30),
    "days": (timedelta(hours=19), 30),
    "weeks": (timedelta(days=6), 30),
    "months": (timedelta(days=23), 25),
}
COUNTS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")


def moments(chance: random.Random, pace: timedelta, count: int) -> Iterator[datetime]:
    """Yield moments that cross a leap day, ends of years in mid-week, and the hours that clocks skip or repeat."""
    now = datetime(2024, 12, 27, tzinfo=UTC) - pace * (count // 2)
    for _ in range(count):
        now += pace * chance.choice([0.05, 0.5, 1, 1, 1, 2, 5]) + timedelta(seconds=chance.randrange(1, 90))
        yield now.replace(microsecond=0)


@pytest.fixture(scope="module")
def repository() -> Iterator[Repository]:
    """The snapshots of five hosts, each tagged now and then; in memory, since restic flushes every file it writes."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield filled(Repository(Path(folder)))


def filled(made: Repository) -> Repository:
    chance = random.Random(8)
    wanted = [
        (host, moment, [tag for tag in TAGS if chance.random() < 0.1])
        for host, (pace, count) in PACE.items()
        for moment in moments(chance, pace, count)
    ]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda one: made.snapshot(*one), wanted))
    return made


def policy(chance: random.Random) -> dict[str, str | list[str]]:
    """Return the words of a policy: one rule at least."""
    words: dict[str, str | list[str]] = {}
    while not words:
        for name in COUNTS:
            if chance.random() < 0.25:
                words[f"keep_{name}"] = str(chance.choice([1, 1, 2, 3, 5, 10, 30, 1000]))
        if chance.random() < 0.2:
            words["keep_within"] = chance.choice(["1h", "5h", "30h", "1d", "3d", "20d", "100d", "2000d"])
        if chance.random() < 0.2:
            words["keep_tags"] = sorted(chance.sample(TAGS, chance.choice([1, 1, 2])))
    return words


def in_restics_words(words: dict[str, str | list[str]]) -> list[str]:
    """Return the options that mean the same to restic."""
    options = []
    for name, value in words.items():
        for one in value if isinstance(value, list) else [value]:
            options += ["--keep-tag" if name == "keep_tags" else f"--{name.replace('_', '-')}", one]
    return options


def test_300_policies_keep_what_restic_keeps_and_the_newest(repository: Repository) -> None:
    candidates: dict[str, list[Candidate]] = {host: [] for host in PACE}
    ids = {}
    for one in sorted(repository.snapshots(), key=lambda one: one["time"]):
        run = one["hostname"]
        moment = datetime.fromisoformat(one["time"])
        step = len(candidates[run])
        candidates[run].append(Candidate(run, step, step, moment, tags=frozenset(one.get("tags") or ())))
        ids[run, step] = one["id"]
    assert {run: len(of) for run, of in candidates.items()} == {host: count for host, (_, count) in PACE.items()}
    chance, compared, explained, different = random.Random(300), 0, 0, []
    for _ in range(POLICIES):
        words = policy(chance)
        theirs = repository.kept(*in_restics_words(words))
        for run, of in candidates.items():
            # restic counts what is younger from the newest snapshot, ckptkit from now: the same where they coincide.
            found = plan([one for group in candidates.values() for one in group],
                         {run: policy_from_words(words)}, now=of[-1].created_at)  # fmt: skip
            ours = {ids[one.run, one.step] for one in found.kept}
            oldest, newest = ids[run, 0], ids[run, of[-1].step]
            compared += 1
            explained += newest not in theirs[run]
            theirs[run].add(newest)
            if ours < theirs[run] and repository.keeps_the_oldest:
                theirs[run].discard(oldest)
            if ours != theirs[run]:
                different.append((words, run, sorted(ours ^ theirs[run])))
    print(f"{POLICIES} policies, {compared} plans, {explained} of them keep the newest as well")
    assert compared == POLICIES * len(PACE)
    assert different == []
