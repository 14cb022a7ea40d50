"""Restore a checkpoint of one large file, beside copying it: `python -m benchmarks.restore_large`."""

import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.in_turns import Program, apart, compare, options
from benchmarks.verify_large import BLOCK, fill

_COPY = """
import os, shutil, sys
shutil.copyfile(sys.argv[1], sys.argv[2])
with open(sys.argv[2], "rb") as stream:
    os.fsync(stream.fileno())
"""


def main() -> None:
    parser = options(__doc__, rounds=5)
    parser.add_argument("--mebibytes", type=int, default=1024)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        file = apart(fill, folder, args.mebibytes * BLOCK)
        out = folder / "out"
        command = [
            sys.executable,
            "-m",
            "ckptkit",
            "--no-cache",
            "--store",
            str(folder / "store"),
            "restore",
            "bench",
            str(out),
        ]
        away = partial(shutil.rmtree, out, ignore_errors=True)
        programs = [
            Program("ckptkit restore", command, before=away),
            Program(
                "shutil.copyfile, fsync", [sys.executable, "-c", _COPY, str(file), str(folder / "copy")], peer=True
            ),
        ]
        compare(f"restore one file of {args.mebibytes} MiB", programs, args)


if __name__ == "__main__":
    main()
