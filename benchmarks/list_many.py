"""List thousands of checkpoints, beside a typer program that does nothing: `python -m benchmarks.list_many`."""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.in_turns import Program, apart, compare, nothing, options
from benchmarks.startup import HELLO

_OLDER = 2.1  # seconds: what changed since is not kept
_RUNS = 10  # of the larger store


def filled(root: Path, runs: int, count: int) -> None:
    """Write runs of checkpoints; all have manifests, the newest of each run has its file."""
    from ckptkit import CheckpointStore
    from ckptkit.digest import digest_bytes
    from ckptkit.formats import strict_json
    from ckptkit.manifest.names import step_folder
    from ckptkit.store import Files

    source = root.parent / "model.txt"
    source.write_text("weights")
    for number in range(runs):
        run = f"run{number}"
        items = {name: Files(source, "files") for name in ("agent", "data", "policy", "rng")}
        saved = CheckpointStore(root).save(run, count, items, resume=["python", "train.py", "{path}"])
        fields = json.loads((saved.path / "manifest.json").read_bytes())
        del fields["digest"]
        for step in range(1, count):
            fields |= {"step": step, "sequence": step, "metrics": {"loss": 1 / step}}
            said = strict_json.dumps(fields)
            folder = f"{root}/{run}/{step_folder(step)}"
            os.mkdir(folder)
            with open(f"{folder}/manifest.json", "wb", buffering=0) as stream:
                stream.write(b'%s,"digest":"%s"}\n' % (said[:-1], digest_bytes(said).encode()))


def forgotten(cache: Path) -> None:
    shutil.rmtree(cache, ignore_errors=True)


def main() -> None:
    parser = options(__doc__, rounds=3)
    parser.add_argument("--count", type=int, default=10_000, help="checkpoints of the smaller store")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as place:
        folder = Path(place)
        os.environ["CKPTKIT_CACHE"] = str(folder / "known")
        (folder / "hello.py").write_text(HELLO)
        stores = {1: folder / "few", _RUNS: folder / "many"}
        for runs, root in stores.items():
            apart(filled, root, runs, args.count)
        time.sleep(_OLDER)

        def program(
            runs: int, words: str, note: str = "", before: Callable[[], None] = nothing, **more: str
        ) -> Program:
            command = [sys.executable, "-m", "ckptkit", "--store", str(stores[runs]), *words.split()]
            return Program(f"{words} of {runs * args.count}{note}", command, before=before, environment=more)

        cold = folder / "cold"
        first = {"before": partial(forgotten, cold), "CKPTKIT_CACHE": str(cold)}
        programs = [
            Program("a typer program that does nothing", [sys.executable, str(folder / "hello.py")], peer=True),
            program(1, "list --limit 20"),
            program(_RUNS, "list --limit 20"),
            program(1, "list"),
            program(_RUNS, "list"),
            program(1, "list", ", the first", **first),
            program(1, "list --no-cache"),
            program(1, "list --format json"),
            program(1, "resume-cmd run0"),
        ]
        compare("listings", programs, args)


if __name__ == "__main__":
    main()
