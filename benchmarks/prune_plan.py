"""What a plan costs beside the ledger: `ckptkit prune` of many small checkpoints, unknown, known, and without one.

Prints CPU seconds (user + system, with start-up) and payload files opened, each in a process of its own, in one run.
The ledger is a fresh one in a temporary folder.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ckptkit import CheckpointStore
from ckptkit.manifest.names import step_folder
from ckptkit.manifest.reading import sealed
from ckptkit.store import Files

PROGRAM = """
import os, sys
opened = [0]
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        opened[0] += os.fsdecode(arguments[0]).endswith("/model.txt")
sys.addaudithook(watch)
from ckptkit.cli.main import run
try:
    run()
finally:
    print(opened[0], file=sys.stderr)
"""


def fill(root: Path, count: int) -> None:
    """Write a run of ``count`` checkpoints with one file each, sealed by the library, fast: nothing is flushed."""
    (root.parent / "model.txt").write_text("weights")
    saved = CheckpointStore(root).save("bench", 0, {"model": Files(root.parent / "model.txt", "files")})
    fields = json.loads((saved.path / "manifest.json").read_bytes())
    del fields["digest"]
    for step in range(1, count):
        folder = root / "bench" / step_folder(step)
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "model.txt").write_text("weights")
        fields |= {"step": step, "sequence": step + 1, "metrics": {"loss": 1 / step}}
        (folder / "manifest.json").write_bytes(sealed(fields, "blake3")[1])


def measure(root: Path, cache: Path, *options: str) -> tuple[float, int, str]:
    """Return CPU seconds, how often a payload file was opened, and the plan of one `ckptkit prune`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", PROGRAM, "--store", str(root), *options, "prune", "--keep-last", "5"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "CKPTKIT_CACHE": str(cache)}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, int(done.stderr.split()[-1]), done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder, "store"), Path(folder, "cache")
        os.environ["CKPTKIT_NO_CACHE"] = "1"
        fill(root, count)
        del os.environ["CKPTKIT_NO_CACHE"]
        time.sleep(2.1)  # a verification notes only files that are older than the coarsest clock
        plans = []
        print(f"{'plan of ' + str(count):>20}  CPU s  payload files opened")
        for name, options in (("unknown", ()), ("known", ()), ("known", ()), ("--no-cache", ("--no-cache",))):
            seconds, opened, plan = measure(root, cache, *options)
            plans.append(plan)
            print(f"{name:>20}  {seconds:5.2f}  {opened}")
        assert len(set(plans)) == 1, "the plans differ"
        print(f"ledger: {sum(f.stat().st_size for f in cache.iterdir())} bytes")


if __name__ == "__main__":
    main()
