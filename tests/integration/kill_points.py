"""Kill one operation with SIGKILL at every point where it touches the disk, and look at what is left each time.

``python kill_points.py SCENARIO FOLDER STRIDE`` prints one JSON document. It is a process of its own because it forks:
a warm child per point, which counts what it does to the disk (audit events, wrapped fsync, the middle of every write)
and kills itself at the k-th. Every point is followed by the same operation once more, uninterrupted.
"""

import builtins
import io
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

MOST_POINTS = 400
_TOUCHES = {
    "open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.chmod", "os.truncate",
    "shutil.rmtree", "shutil.copyfile", "fcntl.flock", "os.symlink",
}  # fmt: skip


class Killer:
    """Counts what happens to the disk below a folder, and sends the process a signal at the k-th event."""

    def __init__(self, root: Path, at: int, number: int = signal.SIGKILL) -> None:
        self.root, self.at, self.count, self.number = str(root), at, 0, number

    def event(self, name: str) -> None:
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), self.number)

    def install(self) -> None:
        def hook(name: str, args: tuple[Any, ...]) -> None:
            if name in _TOUCHES and (name == "fcntl.flock" or self._below(args)):
                self.event(name)

        sys.addaudithook(hook)
        real_fsync, real_sendfile = os.fsync, os.sendfile
        os.fsync = lambda fd: (self.event("fsync"), real_fsync(fd), self.event("after fsync"))[1]
        os.sendfile = lambda out, source, offset, count: (  # a copy torn in the middle
            real_sendfile(out, source, offset, max(1, min(count, os.fstat(source).st_size) // 2)) if offset == 0
            else (self.event("half copied"), real_sendfile(out, source, offset, count))[1]
        )  # fmt: skip
        real_write = os.write
        os.write = lambda fd, data: (  # what goes through a sink is torn too
            real_write(fd, data) if len(data) < 2 or not self._below([os.path.realpath(f"/proc/self/fd/{fd}")])
            else real_write(fd, data[: len(data) // 2])
            + (self.event("half written"), real_write(fd, data[len(data) // 2 :]))[1]
        )  # fmt: skip
        from ckptkit.storage.local import replacing

        real_exchange = replacing.exchange
        replacing.exchange = lambda one, other: (  # no audit event tells of it
            self.event("exchange"), real_exchange(one, other), self.event("after exchange"))[1]  # fmt: skip
        io.open = self._torn(io.open)
        builtins.open = self._torn(builtins.open)

    def _below(self, args: Sequence[Any]) -> bool:
        return any(isinstance(a, (str, os.PathLike)) and self.root in os.path.abspath(a) for a in args[:2])

    def _torn(self, real: Callable[..., Any]) -> Callable[..., Any]:
        killer = self

        class Torn(io.FileIO):
            def write(self, data: Any) -> int:  # the first half reaches the disk, then the process may die
                half = len(data) // 2
                written = super().write(data[:half]) if half else 0
                killer.event("half written")
                return (written or 0) + (super().write(data[half:]) or 0)

        def torn_open(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if isinstance(file, int) or mode not in ("wb", "xb"):
                return real(file, mode, *args, **kwargs)
            return Torn(file, mode)

        return torn_open


def in_child(work: Callable[[], None]) -> int:
    """Run the work in a fork; returns the exit status of ``os.waitpid`` as subprocess does (-9 when killed)."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(scenario: Any, folder: Path, stride: int) -> dict[str, Any]:
    """Return the number of points that were tried, and one line for each law that was broken."""
    pristine, root = folder / "pristine", folder / "work"
    assert in_child(lambda: scenario.prepare(pristine)) == 0, "the scenario could not be prepared"
    broken: list[str] = []
    for point in range(1, MOST_POINTS + 1, stride):
        for left in (root, kill_scenarios.beside(root)):
            shutil.rmtree(left, ignore_errors=True)
        if pristine.exists():
            shutil.copytree(pristine, root, symlinks=True)

        def killed(k: int = point) -> None:
            Killer(root, k).install()
            scenario.operate(root)

        status = in_child(killed)
        if status not in (0, -signal.SIGKILL):
            broken.append(f"point {point}: exit {status} instead of a kill")

        def judge() -> None:
            scenario.look(root)
            scenario.again(root)

        if in_child(judge) != 0:
            broken.append(f"point {point}: the traceback on stderr says which law")
        if status == 0:
            return {"points": (point - 1) // stride, "broken": broken}
    broken.append(f"did not end within {MOST_POINTS} points")
    return {"points": MOST_POINTS, "broken": broken}


if __name__ == "__main__":
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    os.environ["PATH"] = ""  # no git: it would be asked for the commit of the code in every single save
    import kill_scenarios

    print(json.dumps(run(kill_scenarios.SCENARIOS[sys.argv[1]](), Path(sys.argv[2]).resolve(), int(sys.argv[3]))))
