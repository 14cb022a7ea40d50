"""Prune most checkpoints of a run, beside deleting the same folders: `python -m benchmarks.prune_many`."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.in_turns import Program, apart, compare, options

_RMTREE = """
import shutil, sys
for folder in sys.argv[1:]:
    shutil.rmtree(folder)
"""
_OLDER = 2.1  # seconds: only what is older than the coarsest clock is known once it was verified


def filled(root: Path, count: int) -> None:
    from benchmarks.prune_plan import fill

    fill(root, count)


def copied(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, copy_function=shutil.copy2)
    os.sync()


def known(source: Path, target: Path, command: list[str]) -> None:
    """Make a copy of the store of which the ledger knows that everything verifies."""
    copied(source, target)
    time.sleep(_OLDER)
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def main() -> None:
    parser = options(__doc__, rounds=3)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--keep", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as place:
        folder = Path(place)
        source, ours, theirs = folder / "source" / "store", folder / "ours", folder / "theirs"
        os.environ["CKPTKIT_CACHE"] = str(folder / "cache")
        source.parent.mkdir()
        apart(filled, source, args.count)
        command = [sys.executable, "-m", "ckptkit", "--store", str(ours), "prune", "--keep-last", str(args.keep)]
        oldest = sorted(path.name for path in (source / "bench").glob("step-*"))[: args.count - args.keep]
        rmtree = [sys.executable, "-c", _RMTREE, *(str(theirs / "bench" / name) for name in oldest)]
        ready = partial(known, source, ours, command)
        programs = [
            Program("ckptkit prune --apply", [*command, "--apply"], before=ready),
            Program("ckptkit prune: the plan alone", command, before=ready),
            Program("shutil.rmtree", rmtree, before=partial(copied, source, theirs), peer=True),
        ]
        compare(f"prune {len(oldest)} of {args.count} checkpoints", programs, args)


if __name__ == "__main__":
    main()
