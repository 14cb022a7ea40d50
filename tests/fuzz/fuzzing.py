"""Program: fuzz all readers, or those that are named, each in a process of its own: ``fuzzing.py [NAME ...]``.

``make fuzz`` runs it for ten minutes a reader; what it finds is left in the folder that it names at the end.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

PROGRAM = Path(__file__).with_name("one_reader.py")
_STATISTIC = re.compile(r"^stat::(\w+):\s+(\d+)$", re.MULTILINE)
_START_UP = 60
_SMALL = ("/bin/sh", "-c", '"$@"; exit $?', "sh")
"""In between: the peak of a process begins with what the one that started it held, and that of a test may be large."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How fuzzing a reader ended.

    Attributes:
        reader: its name.
        code: of the process: 0 when the time was over, and nothing was found.
        executions: how many files it read.
        slowest: seconds that the slowest of them took.
        mebibytes: that the process had at most.
        said: its last words.
    """

    reader: str
    code: int
    executions: int
    slowest: int
    mebibytes: int
    said: str

    def __str__(self) -> str:
        return f"{self.reader}: {self.executions} executions, {self.slowest} s, {self.mebibytes} MiB, exit {self.code}"


def fuzz(reader: str, folder: Path, seconds: int, seed: int) -> Outcome:
    """Fuzz a reader for so many seconds; what it fails at is left in the folder."""
    command = [sys.executable, PROGRAM, reader, folder / reader, "--seconds", str(seconds), "--seed", str(seed)]
    done = subprocess.run(
        [*_SMALL, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds + _START_UP, check=False
    )
    said = done.stdout.decode("utf-8", "replace")
    found = {name: int(value) for name, value in _STATISTIC.findall(said)}
    return Outcome(
        reader, done.returncode, found.get("number_of_executed_units", 0), found.get("slowest_unit_time_sec", 0),
        found.get("peak_rss_mb", 0), said[-4000:],
    )  # fmt: skip


def fuzz_all(
    readers: Mapping[str, int], folder: Path, seed: int, pool: ThreadPoolExecutor
) -> Mapping[str, Future[Outcome]]:
    """Begin to fuzz readers, each for so many seconds, as many at a time as the pool has threads.

    Returns:
        What will have come of each.
    """
    return {name: pool.submit(fuzz, name, folder, seconds, seed) for name, seconds in readers.items()}


def main() -> int:
    """Parse the command line, fuzz, and return 1 if anything was found."""
    from readers import READERS

    parser = argparse.ArgumentParser()
    parser.add_argument("reader", nargs="*", default=list(READERS))
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    folder, failed = Path(tempfile.mkdtemp(prefix="ckptkit-fuzz-")), False
    with ThreadPoolExecutor(given.jobs) as pool:
        for begun in fuzz_all(dict.fromkeys(given.reader, given.seconds), folder, given.seed, pool).values():
            outcome = begun.result()
            print(outcome, flush=True)
            if outcome.code != 0:
                failed = True
                print(outcome.said, file=sys.stderr)
    print(f"corpora, and what was found: {folder}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
