"""Many processes at one store: each saves, prunes, takes back, pins, tags, adopts, lists and verifies, for a while.

``python crowd.py FOLDER PROCESSES SECONDS SEED`` prints one JSON document. Each checkpoint says who saved it, and as
which of theirs: so it is known of each that somebody was told to be committed whether it is there, once, in its place
or in the trash.
"""

import json
import os
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from kill_scenarios import written

from ckptkit import CheckpointStore
from ckptkit.errors import ConflictError, LockedError, NotFoundError, PartlyDoneError
from ckptkit.retention import RetentionPolicy
from ckptkit.store import Wrote

RUN = "run"
KEEP = 12
MANY = 1_000_000


class Member:
    """One of the crowd, and what it was told.

    Attributes:
        did: how often each thing was done, refused, or not possible just then.
        saved: the marks of what was committed for it.
        pinned: the steps that it has pinned.
        broken: what must not happen.
    """

    def __init__(self, root: Path, number: int, newest: Any, seed: int) -> None:
        self.root, self.number, self.newest = root, number, newest
        self.chance = random.Random(seed * 1000 + number)
        self.did: Counter[str] = Counter()
        self.saved: list[int] = []
        self.pinned: list[int] = []
        self.broken: list[str] = []
        self.written = 0

    @property
    def store(self) -> CheckpointStore:
        return CheckpointStore(self.root, cache=self.number % 2 == 0)

    def _next_step(self) -> int:
        with self.newest.get_lock():
            self.newest.value += self.chance.random() < 0.7  # else somebody else has that step, or will try it, too
            return int(self.newest.value)

    def save(self) -> None:
        step, mark = self._next_step(), self.number * MANY + len(self.saved) + 1
        weights = {"w": np.full(700, float(mark))}
        self.store.save(RUN, step, {"weights": weights}, metrics={"mark": mark})
        self.saved.append(mark)
        if self.chance.random() < 0.1:
            self.store.pin(f"{RUN}@{step}")
            self.pinned.append(step)
            self.did["pinned"] += 1

    def adopt(self) -> None:
        self.written += 1
        step, run = self.number * MANY + self.written, f"trainer-{self.number % 4}"
        written(self.root, step, run)
        mark = step + MANY * MANY
        items = {"model": Wrote(f"checkpoint-{step}", backend="files")}
        self.store.adopt(run, f"checkpoint-{step}", step, items, metrics={"mark": mark})
        self.saved.append(mark)

    def prune(self) -> None:
        run = self.chance.choice([RUN, RUN, "trainer-0", "trainer-1"])
        done = self.store.prune(self.store.plan_prune(RetentionPolicy(keep_last=KEEP), run=run))
        self.did["removed"] += len(done.removed)

    def undelete(self) -> None:
        gone = [one for one in self.store.removed([RUN]) if one.step is not None]  # one may just come back
        if gone:
            self.store.undelete(f"{RUN}@{self.chance.choice(gone).step}")

    def tag(self) -> None:
        self.store.tag(f"{RUN}@latest", self.chance.choice("abc"))

    def listed(self) -> None:
        for one in self.store.list():
            assert one.at.ref

    def verify(self) -> None:
        for report in self.store.verify().checkpoints:
            self.did["looked at"] += 1
            if not (report.good or report.gone):
                self.broken.append(f"{report.at.ref}: {report.reason}")

    def go_on(self, until: float) -> None:
        """Do one thing after the other until a time."""
        ways: list[Callable[[], None]] = [self.save] * 6 + [self.verify] * 3 + [self.prune, self.adopt, self.adopt]
        ways += [self.undelete, self.tag, self.listed]
        while time.time() < until:
            way = self.chance.choice(ways)
            try:
                way()
                self.did[way.__name__] += 1
            except (ConflictError, NotFoundError, LockedError, PartlyDoneError) as error:
                self.did[f"{way.__name__}: {type(error).__name__}"] += 1
            except Exception as error:
                traceback.print_exc()
                self.broken.append(f"{way.__name__}: {type(error).__name__}: {error}")


def work(root: Path, number: int, newest: Any, seed: int, until: float, told: Any) -> None:
    """Be one of the crowd."""
    member = Member(root, number, newest, seed)
    member.go_on(until)
    told.put([dict(member.did), member.saved, member.pinned, member.broken])


def marks(root: Path) -> Counter[int]:
    """Return the marks of all that the store has, in its place and in its trash."""
    store = CheckpointStore(root)
    found = Counter(int(store.manifest(at.ref).metrics["mark"]) for at in store.locate())
    for manifest in root.glob("*/.ckptkit/trash/**/*manifest.json"):
        found[int(json.loads(manifest.read_bytes())["metrics"]["mark"])] += 1
    return found


def run(root: Path, processes: int, seconds: float, seed: int) -> dict[str, Any]:
    """Return what the crowd did, and a line for each law that was broken."""
    context = get_context("fork")
    newest, told = context.Value("q", 0), context.SimpleQueue()
    CheckpointStore(root).save("first", 1, {"weights": {"w": np.zeros(3)}}, metrics={"mark": 0})
    until = time.time() + seconds
    crowd = [context.Process(target=work, args=(root, n, newest, seed, until, told)) for n in range(1, processes + 1)]
    for one in crowd:
        one.start()
    answers = [told.get() for _ in crowd]
    for one in crowd:
        one.join()
    did: Counter[str] = Counter()
    broken, saved, pinned = [], [0], set[int]()
    for counts, marked, pins, wrong in answers:
        did.update(counts)
        saved += marked
        pinned |= set(pins)
        broken += wrong
    found = marks(root)
    broken += [f"{mark}: was committed, and is there {found[mark]} times" for mark in saved if found[mark] != 1]
    broken += [f"{mark}: is there, and nobody was told" for mark in found.keys() - set(saved)]
    there = {one.at.step for one in CheckpointStore(root).list(RUN) if one.pinned}
    broken += [f"{step}: was pinned, and is not" for step in pinned - there]
    report = CheckpointStore(root).verify()
    broken += [f"in the end: {one.at.ref}: {one.reason}" for one in report.checkpoints if not one.good]
    return {"did": did, "committed": len(saved), "there": found.total(), "pinned": len(pinned), "broken": broken}


if __name__ == "__main__":
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    os.environ["PATH"] = ""  # no git: it would be asked for the commit of the code in every single save
    folder, processes, seconds, seed = sys.argv[1:]
    os.environ["CKPTKIT_CACHE"] = f"{folder}/cache"  # of every other one: half of them believe what others found
    print(json.dumps(run(Path(folder).resolve() / "store", int(processes), float(seconds), int(seed))))
