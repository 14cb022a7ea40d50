"""Kill one operation on S3 with SIGKILL at each request that changes something, and look at what is left each time.

``python s3_kills.py SCENARIO URL FOLDER STRIDE MOMENTS`` prints one JSON document. It never asks the server itself, so
that what it forks starts with a client of its own: one child dies at the k-th of these requests, before it is sent or
after its answer has arrived; ``MOMENTS`` more are killed from outside, at any time. Another child judges what is left.
"""

import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kill_points import in_child

from ckptkit.storage.objects.obstores import ObstoreRequests
from ckptkit.storage.objects.opening import open_objects
from ckptkit.storage.objects.signing import Signer

MOST_POINTS = 200


@dataclass(frozen=True)
class Place:
    """Where a scenario takes place.

    Attributes:
        url: of a store on the server.
        folder: of this machine.
    """

    url: str
    folder: Path

    def below(self, name: str) -> "Place":
        return Place(f"{self.url}/{name}", self.folder / name)

    def begin_as(self, pristine: "Place") -> None:
        """Copy what a scenario begins with."""
        objects, there = open_objects(self.url), open_objects(pristine.url)
        for info in list(there.below("")):
            objects.write(info.key, there.read(info.key)[0])
        if pristine.folder.exists():
            shutil.copytree(pristine.folder, self.folder, symlinks=True)


class Killer:
    """Counts requests that change something, and kills the process at one of them.

    Args:
        at: which, from 1.
        done: after its answer, and not before it is sent.
    """

    def __init__(self, at: int, *, done: bool) -> None:
        self._at, self._done, self._count, self._lock = at, done, 0, threading.Lock()

    def install(self) -> None:
        real = ObstoreRequests.__init__

        def init(requests: Any, store: Any, patient: Any, prefix: str, url: str) -> None:
            real(requests, Counted(store, self), Counted(patient, self), prefix, url)

        ObstoreRequests.__init__ = init
        send = Signer.send
        Signer.send = lambda signer, method, *a, **k: (
            send(signer, method, *a, **k) if method == "GET" else self.counted(lambda: send(signer, method, *a, **k))
        )

    def counted(self, ask: Callable[[], Any]) -> Any:
        with self._lock:
            self._count += 1
            number = self._count
        if number == self._at and not self._done:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = ask()
        if number == self._at:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


class Counted:
    """A client of obstore."""

    def __init__(self, client: Any, killer: Killer) -> None:
        self._client, self._killer = client, killer

    def __getattr__(self, name: str) -> Any:
        ask = getattr(self._client, name)
        if name not in ("put", "delete", "copy"):
            return ask
        return lambda *args, **how: self._killer.counted(lambda: ask(*args, **how))


def at_each_request(scenario: Any, pristine: Place, place: Place, stride: int) -> dict[str, Any]:
    """Return how many kills there were, and one line for each after which a law was broken."""
    killed, broken = 0, []
    for done in (False, True):
        for point in range(1 + done * (stride // 2), MOST_POINTS, stride):
            here = place.below(f"{'after' if done else 'before'}-{point}")

            def die(here: Place = here, point: int = point, done: bool = done) -> None:
                here.begin_as(pristine)
                Killer(point, done=done).install()
                scenario.operate(here)

            status = in_child(die)
            if status not in (0, -signal.SIGKILL):
                broken.append(f"{here.url}: exit {status} instead of a kill")
            broken += judged(scenario, here)
            if status != -signal.SIGKILL:
                break
            killed += 1
    return {"killed": killed, "broken": broken}


def at_any_moment(scenario: Any, pristine: Place, place: Place, times: int) -> dict[str, Any]:
    """Return the same for kills from outside, spread over the time that the operation takes."""
    killed, broken, chance = 0, [], random.Random(7)
    lasts: list[float] = []
    for number in range(2 * times):
        if killed == times:
            break
        here = place.below(f"moment-{number}")
        ready, go = os.pipe()
        child = os.fork()
        if child == 0:
            here.begin_as(pristine)
            os.write(go, b"!")
            scenario.operate(here)
            os._exit(0)
        os.close(go)
        os.read(ready, 1)
        os.close(ready)
        began = time.monotonic()
        if lasts:
            time.sleep((number % times + chance.random()) / times * min(lasts))
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status not in (0, -signal.SIGKILL):
            broken.append(f"{here.url}: exit {status} instead of a kill")
        killed += status == -signal.SIGKILL
        lasts += [time.monotonic() - began] if status == 0 else []
        broken += judged(scenario, here)
    return {"killed": killed, "broken": broken}


def judged(scenario: Any, here: Place) -> list[str]:
    """Return a line if a law was broken; looks at what is left, does the same again, and has leftovers freed."""

    def judge() -> None:
        scenario.look(here)
        scenario.again(here)
        scenario.tidy(here)

    return [f"{here.url}: the traceback on stderr says which law"] if in_child(judge) != 0 else []


def main(name: str, place: Place, stride: int, moments: int) -> dict[str, Any]:
    import s3_kill_scenarios

    scenario, pristine = s3_kill_scenarios.SCENARIOS[name](), place.below("pristine")
    assert in_child(lambda: scenario.prepare(pristine)) == 0, "the scenario could not be prepared"
    points = at_each_request(scenario, pristine, place, stride) if stride else {"killed": 0, "broken": []}
    anytime = at_any_moment(scenario, pristine, place, moments)
    return {
        "points": points["killed"],
        "moments": anytime["killed"],
        "in parts": len(list(place.folder.glob(f"*/{s3_kill_scenarios.IN_PARTS}"))),
        "broken": points["broken"] + anytime["broken"],
    }


if __name__ == "__main__":
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    os.environ["PATH"] = ""  # no git: it would be asked for the commit of the code in every single save
    given = Place(sys.argv[2], Path(sys.argv[3]).resolve())
    print(json.dumps(main(sys.argv[1], given, int(sys.argv[4]), int(sys.argv[5]))))
