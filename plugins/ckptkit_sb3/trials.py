"""Self-tests in processes of their own: begun once for each kind of environment, in the background, and remembered."""

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from threading import Lock, Thread

from ckptkit_sb3.definition import Definition, SelfTestResult
from ckptkit_sb3.selftest import TIMEOUT, Request, main

_STARTING = 30
_LOCK = Lock()
_BEGUN: dict[tuple[str, bool, bool], "Trial"] = {}


class Trial:
    """One self-test, going on or done."""

    def __init__(self, ask: Callable[[], SelfTestResult]) -> None:
        self._answer: Future[SelfTestResult] = Future()

        def run() -> None:
            try:
                self._answer.set_result(ask())
            except Exception as error:  # no process, no memory: then nothing is known
                self._answer.set_result(SelfTestResult(untested=f"{type(error).__name__}: {error}"))

        Thread(target=run, name="ckptkit-selftest", daemon=True).start()

    def verdict(self) -> SelfTestResult:
        """Return what was found; waits for it."""
        try:
            return self._answer.result(TIMEOUT + _STARTING)
        except NotYet:
            return SelfTestResult(untested="the process of the self-test did not answer")


def begin(definition: Definition, *, barrier: bool = False) -> Trial:
    """Return the self-test of a definition; it is begun if there was none of this kind in this process.

    Args:
        definition: of the environment.
        barrier: whether it is reset with a seed before each save.
    """
    key = definition.key, barrier, any(way == "factory" for way, _ in definition.ways)
    with _LOCK:
        if key not in _BEGUN:
            _BEGUN[key] = Trial(lambda: _judged(Request(definition, barrier)))
        return _BEGUN[key]


def _judged(request: Request) -> SelfTestResult:
    if request.definition.untouchable is not None:
        return SelfTestResult(untested=request.definition.untouchable)
    path = [os.path.abspath(entry) for entry in sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            [sys.executable, "-c", f"from {main.__module__} import main; main()"],
            input=pickle.dumps((path, pickle.dumps(request))),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=TIMEOUT + _STARTING / 2,
            check=False,
        )
        if done.stdout:
            found: SelfTestResult = pickle.loads(done.stdout)  # from the process that this one started
            return found
    return SelfTestResult(untested="the process of the self-test died")
