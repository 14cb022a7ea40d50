"""Let processes race for one store on S3, and look at what they leave: ``python s3_races.py RACE URL FOLDER ROUNDS``.

It never asks the server itself, so that what it forks starts with a client of its own; it ends with 0 if no law was
broken.
"""

import itertools
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from kill_points import in_child
from s3_kill_scenarios import RUN, content, free_leftovers, good, in_trash, of, opened, save

from ckptkit.errors import CkptkitError, ConflictError, LockedError
from ckptkit.storage.objects import leases
from ckptkit.storage.objects.opening import open_objects

Act = Callable[[int], object]
Told = list[str | None]
"""What each round of one process ended with: None, or what was raised."""


def race(folder: Path, acts: Sequence[Act], rounds: int) -> list[Told]:
    """Let one process for each act do it so many times, all at once each time."""
    start = multiprocessing.get_context("fork").Barrier(len(acts))

    def run(number: int) -> None:
        told: Told = []
        chance = random.Random(number)
        for turn in range(rounds):
            start.wait(60)
            time.sleep(chance.choice([0.0, chance.random() / 50]))
            try:
                acts[number](turn)
                told.append(None)
            except CkptkitError as error:
                told.append(type(error).__name__)
        (folder / f"told-{number}.json").write_text(json.dumps(told))

    children = []
    for number in range(len(acts)):
        if (child := os.fork()) == 0:
            os._exit(in_child(lambda number=number: run(number)))
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(acts)
    return [json.loads((folder / f"told-{number}.json").read_text()) for number in range(len(acts))]


def judge(look: Callable[[], None]) -> None:
    assert in_child(look) == 0


def payloads(url: str) -> set[str]:
    """Return the prefixes below which files of checkpoints lie. SeaweedFS lists folders for a while that are empty."""
    prefix = f"{RUN}/.ckptkit/data/"
    return {info.key.removeprefix(prefix).split("/")[0] for info in open_objects(url).below(prefix)}


def saves(url: str, folder: Path, rounds: int) -> None:
    """Two save one step: exactly one wins, the other is told of the conflict and takes its files back."""

    def by(number: int) -> Act:
        return lambda turn: save(url, turn, seed=1000 * number + turn)

    told = race(folder, [by(1), by(2)], rounds)
    for one, other in zip(*told, strict=True):
        assert {one, other} == {None, "ConflictError"}, told

    def look() -> None:
        assert good(url) == set(range(rounds))
        for turn in range(rounds):
            assert content(url, turn) == of(1000 * (1 if told[0][turn] is None else 2) + turn)
        assert len(payloads(url)) == rounds, payloads(url)
        assert opened(url).storage.leftovers(RUN, 0) == []

    judge(look)


def replaces(url: str, folder: Path, rounds: int) -> None:
    """Two replace one step: the last that won is there, and each that made room is in the trash."""
    judge(lambda: save(url, 1, seed=5))

    def by(number: int) -> Act:
        return lambda turn: save(url, 1, seed=1000 * number + turn, replace=True)

    told = race(folder, [by(1), by(2)], rounds)
    won = [1000 * number + turn for number in (1, 2) for turn in range(rounds) if told[number - 1][turn] is None]
    assert len(won) >= rounds
    assert {*told[0], *told[1]} <= {None, "ConflictError", "LockedError"}

    def look() -> None:
        assert good(url) == {1}
        found = [content(url, 1)]
        assert found[0] in map(of, won)
        while in_trash(url):
            opened(url).storage.remove(opened(url).locate(f"{RUN}@1")[0])
            removed = opened(url).storage.removed(RUN)
            opened(url).storage.bring_back(removed[-1])  # the oldest
            found.append(content(url, 1))
            if len(found) > len(won) + 1:
                break
        assert {of(seed) for seed in (5, *won)} <= set(found)

    judge(look)


def everything(url: str, folder: Path, rounds: int) -> None:
    """One saves, one prunes, one undeletes, one copies: each save is whole in the run or in the trash."""
    judge(lambda: save(url, 1))
    copy = f"{url}-copy"

    def undelete(turn: int) -> None:
        for step in in_trash(url)[:1]:
            opened(url).undelete(f"{RUN}@{step}")

    def pruned(turn: int) -> None:
        store = opened(url)
        store.prune(store.plan_prune(_keep(2)))

    acts: list[Act] = [lambda turn: save(url, turn + 2), pruned, undelete, lambda turn: opened(url).copy_to(copy)]
    told = race(folder, acts, rounds)
    assert told[0] == [None] * rounds, "a save needs no lock"
    assert {*itertools.chain(*told)} <= {None, "ConflictError", "LockedError", "NotFoundError"}, told

    def look() -> None:
        steps = set(range(1, rounds + 2))
        opened(url).storage.finish_removals(RUN)
        assert good(url) | set(in_trash(url)) == steps
        for step in steps - good(url):
            opened(url).undelete(f"{RUN}@{step}")
        assert good(url) == steps
        assert opened(url).copy_to(copy).exit_code == 0
        assert good(copy) == steps
        for step in steps:
            assert content(url, step) == content(copy, step) == of(step)
        free_leftovers(url)

    judge(look)


def _keep(count: int) -> Any:
    from ckptkit.retention import RetentionPolicy

    return RetentionPolicy(keep_last=count)


def purges(url: str, folder: Path, rounds: int) -> None:
    """One saves and prunes, one undeletes, one purges at once what lies in the trash: what is listed is whole."""
    judge(lambda: [save(url, step) for step in (1, 2)])  # type: ignore[func-returns-value]

    def saved(turn: int) -> None:
        save(url, turn + 3)
        store = opened(url)
        store.prune(store.plan_prune(_keep(2)))

    def undelete(turn: int) -> None:
        for step in in_trash(url)[:1]:
            opened(url).undelete(f"{RUN}@{step}")

    def purge(turn: int) -> None:
        storage = opened(url).storage
        for leftover in storage.leftovers(RUN, 0.0):
            storage.purge(storage.set_aside(leftover))  # without a lock

    told = race(folder, [saved, undelete, purge, purge], rounds)
    allowed = {None, "ConflictError", "LockedError", "NotFoundError", "DamagedError", "StoreError"}
    assert {*itertools.chain(*told)} <= allowed, told

    def look() -> None:
        for step in good(url):
            assert content(url, step) == of(step)
        free_leftovers(url)
        assert len(payloads(url)) == len(good(url)), payloads(url)

    judge(look)


def marks(url: str, folder: Path, rounds: int) -> None:
    """Two pin and tag at once: none of it is lost."""
    judge(lambda: [save(url, step) for step in range(2 * rounds)])  # type: ignore[func-returns-value]

    def by(number: int) -> Act:
        def act(turn: int) -> None:
            opened(url).pin(f"{RUN}@{2 * turn + number}")
            opened(url).tag(f"{RUN}@{2 * turn}", f"by-{number}")

        return act

    told = race(folder, [by(0), by(1)], rounds)
    assert told == [[None] * rounds] * 2, told

    def look() -> None:
        listed = {one.at.step: one for one in opened(url).list()}
        assert all(one.pinned for one in listed.values())
        assert all(set(listed[2 * turn].tags) == {"by-0", "by-1"} for turn in range(rounds))

    judge(look)


def takeover(url: str, folder: Path, rounds: int) -> None:
    """A process on another machine falls asleep with the lease: another takes it over, and no pin is lost."""
    judge(lambda: [save(url, step) for step in (1, 2)])  # type: ignore[func-returns-value]

    def sleeper() -> None:
        leases._machine = lambda: "another machine"
        storage = opened(url).storage
        try:
            with storage.locked(RUN, "refs"):
                storage.read_state(RUN, "refs.json", 1 << 20)
                os.kill(os.getpid(), signal.SIGSTOP)
                storage.replace_state(RUN, "refs.json", b"{}")
        except ConflictError:
            os._exit(77)

    asleep = os.fork()
    if asleep == 0:
        sleeper()
        os._exit(1)
    assert os.WIFSTOPPED(os.waitpid(asleep, os.WUNTRACED)[1])

    def too_early() -> None:
        from ckptkit.storage.objects import states

        states._WAIT = 0.3
        with pytest.raises(LockedError, match="is being changed by process"):  # its owner lives
            opened(url).pin(f"{RUN}@1")

    def later() -> None:
        leases._DEAD = 1.0  # in place of a minute
        time.sleep(1.5)
        opened(url).pin(f"{RUN}@1")

    judge(too_early)
    judge(later)
    os.kill(asleep, signal.SIGCONT)
    assert os.waitstatus_to_exitcode(os.waitpid(asleep, 0)[1]) == 77, "it wrote over what another has written"

    def look() -> None:
        assert [one.pinned for one in opened(url).list()] == [True, False]

    judge(look)


RACES = {one.__name__: one for one in (saves, replaces, everything, purges, marks, takeover)}

if __name__ == "__main__":
    os.environ["PATH"] = ""  # no git: it would be asked for the commit of the code in every single save
    RACES[sys.argv[1]](sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
