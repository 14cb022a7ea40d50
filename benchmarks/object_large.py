"""Save one large file to S3, verify it and restore it: `python -m benchmarks.object_large`; what each takes of memory.

Each command is a process of its own, before a real server (SeaweedFS) on this machine, which does not count. It needs
four times the room of the file.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.in_turns import Program, apart, measured
from benchmarks.object_services import started

_BLOCK = 1 << 24


def written(path: Path, size: int) -> None:
    """Write a file of which no two blocks are the same."""
    block = random.Random(5).randbytes(_BLOCK)
    with path.open("wb") as file:
        for number in range(0, size, _BLOCK):
            file.write((number.to_bytes(8) + block[8:])[: size - number])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=5000)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    size = args.megabytes * 1_000_000
    figures = {}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name, started("s3") as server:
        place, source = Path(name), Path(name) / "model"
        source.mkdir()
        apart(written, source / "weights.bin", size)
        os.environ |= {"TMPDIR": name, "CKPTKIT_CACHE": str(place / "cache")}
        ours = [sys.executable, "-m", "ckptkit", "--store", server.place()]
        commands = {
            "save": ["save", "big", "--step", "1", f"weights:files={source}"],
            "verify --level digest": ["--no-cache", "verify", "big@1", "--level", "digest"],
            "verify": ["--no-cache", "verify", "big@1"],
            "restore": ["restore", "big@1", str(place / "back")],
        }
        print(f"a file of {size / 1e9:.1f} GB\n")
        print("| command | memory, MB | CPU s | wall s | MB/s |\n|---|---|---|---|---|")
        for what, words in commands.items():
            began = time.perf_counter()
            run = measured(Program(what, [*ours, *words]))
            figures[what] = {"memory_bytes": run.memory, "cpu_seconds": run.cpu, "wall_seconds": run.wall}
            rate = size / 1e6 / (time.perf_counter() - began)
            print(f"| {what} | {run.memory / 1e6:.0f} | {run.cpu:.1f} | {run.wall:.1f} | {rate:.0f} |", flush=True)
    found = json.dumps({"bytes": size, "commands": figures}, indent=1)
    if args.json is None:
        print(f"\n{found}")
    else:
        args.json.write_text(found + "\n")


if __name__ == "__main__":
    main()
