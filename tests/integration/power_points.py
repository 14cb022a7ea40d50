"""Let the power fail at every point of one operation, in many ways, and look at what is left each time.

``python power_points.py SCENARIO FOLDER MOST [files|folders]`` prints one JSON document. The operation of a scenario
runs once, and all that it does to the disk is written down (``disk_calls``). Then every beginning of that is played on
a model of a disk (``disk_power``), which says what may be left; at most ``MOST`` different states are written out and
judged. The last word takes the flushes of files or of folders out of what was written down: laws must be broken then.
"""

import json
import os
import random
import shutil
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import disk_calls
import disk_power
import kill_scenarios
import power_scenarios
from disk_power import Data, Disk, Tree
from kill_points import in_child
from kill_scenarios import beside

from ckptkit import CheckpointStore

WAYS = 6  # seeded mixtures after each call, half of them with torn renames


class State:
    """What may be left: after how many calls, whether the operation was done, whether renames may be torn."""

    def __init__(self, tree: Tree, calls: int, done: bool, torn: bool, way: str) -> None:
        self.tree, self.calls, self.done, self.torn, self.way = tree, calls, done, torn, way

    def __str__(self) -> str:
        return f"after {self.calls} calls, {self.way}{', torn' * self.torn}{', when it was done' * self.done}"


def states(disk: Disk, calls: list[disk_calls.Call]) -> Iterator[State]:
    """Yield what may be left after each call; states that come again are left out."""
    seen: set[tuple[int, bool, bool]] = set()
    for number in range(len(calls) + 1):
        if number:
            disk.apply(calls[number - 1])
        done = number == len(calls)
        for way, tree, torn in _ways(disk, number):
            key = (hash(frozenset(tree.items())), done, torn)
            if key not in seen and (key[0], done, False) not in seen:
                seen.add(key)
                yield State(tree, number, done, torn, way)


def _ways(disk: Disk, number: int) -> Iterator[tuple[str, Tree, bool]]:
    unsure, chance = disk.unsure(), random.Random(number)
    plain: list[tuple[str, list[int], Data]] = [
        ("nothing but what was flushed", [], "lost"),
        ("all names, no data", unsure, "lost"),
        ("all names, zeros", unsure, "zeros"),
        ("all names, files cut", unsure, "cut"),
        ("all", unsure, "kept"),
        *((f"only the name of call {one}", [one], "lost") for one in unsure),
        *((f"all but the name of call {one}", [two for two in unsure if two != one], "kept") for one in unsure),
    ]
    for way, kept, data in plain:
        yield way, disk.after(kept, data, chance), False
    for turn in range(WAYS):
        share = chance.choice([0.2, 0.5, 0.8])
        kept = [one for one in unsure if chance.random() < share]
        torn = turn % 2 == 1
        yield f"mixture {turn}", disk.after(kept, "mixed", chance, torn=torn), torn


def portrait(place: Path) -> list[Any]:
    """Return what a store lists, with pins and tags; where there is no store, what else lies there."""
    if not list(place.rglob("*manifest.json")) or (place / "manifest.json").exists():
        return sorted(path.relative_to(place).as_posix() for path in place.rglob("*"))
    return [[one.at.ref, one.pinned, *one.tags] for one in CheckpointStore(place).list()]


def judge(scenario: Any, root: Path, state: State, expected: list[Any]) -> None:
    """Raise AssertionError, or whatever is raised, where a law is broken."""
    untouched = getattr(scenario, "older", {3})
    report = CheckpointStore(root).verify() if root.exists() else None
    for checkpoint in report.checkpoints if report else ():
        assert checkpoint.good or scenario.broken == checkpoint.at.step, f"{checkpoint.at.ref}: {checkpoint.reason}"
    there = {checkpoint.at.step for checkpoint in report.checkpoints if checkpoint.good} if report else set()
    assert untouched <= there, f"lost: {untouched - there}"
    if state.done:
        assert [portrait(root), portrait(beside(root))] == expected, "it was done, but does not last"
    if state.torn:
        kill_scenarios.save(root, 9)
        assert CheckpointStore(root).verify(f"{kill_scenarios.RUN}@9").exit_code == 0
    else:
        scenario.look(root)
        scenario.again(root)


def _judged(scenario: Any, root: Path, folder: Path, found: list[State], expected: list[Any]) -> None:
    """Judge states one after the other, each where the store was, and write down which laws were broken."""
    broken, out, aside = [], sys.stdout, folder / "aside"
    for state in found:
        if root.exists() and not aside.exists():  # a store is known by the inode of its folder
            root.rename(aside)
        shutil.rmtree(root.parent)
        root.parent.mkdir()
        if aside.exists() and root.name in state.tree:
            for left in aside.iterdir():
                shutil.rmtree(left)
            aside.rename(root)
        disk_power.write(state.tree, root.parent)
        try:
            judge(scenario, root, state, expected)
        except BaseException as error:
            broken.append(f"{state}: {type(error).__name__}: {error}")
            traceback.print_exc()
        sys.stdout = out
    (folder / "broken.json").write_text(json.dumps(broken))


def run(scenario: Any, folder: Path, most: int, without: str = "") -> dict[str, Any]:
    """Return how many calls changed the disk, how many states were judged, and a line for each that broke a law."""
    place, log = folder / "disk", folder / "log"
    place.mkdir()
    root = place / "store"
    assert in_child(lambda: scenario.prepare(root)) == 0, "the scenario could not be prepared"
    disk, proof = Disk(place), Disk(place)

    def recorded() -> None:
        disk_calls.record(place, log)
        scenario.operate(root)

    assert in_child(recorded) == 0, "the operation failed"
    calls = [*disk_calls.calls(log)]
    for call in calls:
        proof.apply(call)
    assert proof.whole() == disk_power.read(place), "the log does not tell all that was done"
    kind = {"files": disk_power.File, "folders": disk_power.Folder}.get(without, ())
    found = [*states(disk, [call for call in calls if not (call.what == "flush" and isinstance(proof.at(call), kind))])]
    some = found if len(found) <= most else random.Random(0).sample(found, most)
    expected = [portrait(root), portrait(beside(root))]
    assert in_child(lambda: _judged(scenario, root, folder, some, expected)) == 0, "the judge was cut off"
    broken = json.loads((folder / "broken.json").read_text())
    kinds = Counter(call.what for call in calls)
    return {"calls": kinds, "found": len(found), "judged": len(some), "broken": broken}


if __name__ == "__main__":
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    os.environ["CKPTKIT_NO_CACHE"] = "1"  # states come one after the other at one place
    os.environ["PATH"] = ""  # no git: it would be asked for the commit of the code in every single save
    del os.environ["LD_PRELOAD"]
    scenario = power_scenarios.SCENARIOS[sys.argv[1]]()
    print(json.dumps(run(scenario, Path(sys.argv[2]).resolve(), int(sys.argv[3]), *sys.argv[4:])))
