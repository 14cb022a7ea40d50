"""Count what each command asks of an S3 server: `python -m benchmarks.requests`.

A proxy before a real server (SeaweedFS) counts HTTP requests. Each command is a process of its own, on a machine that
knows nothing yet, except where "from this machine" is said.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.object_services import Counted, priced, started

_FILES = 2  # of each checkpoint that is there already
_LARGE = 64  # MiB


@dataclass
class Table:
    """Counts commands.

    Attributes:
        counted: the server.
        url: of the store.
        cache: folder of what this machine remembers.
        tell: whether all requests are printed.
        rows: what was counted.
    """

    counted: Counted
    url: str
    cache: Path
    tell: bool
    rows: list[dict[str, object]] = field(default_factory=list)

    def row(self, what: str, *words: str, new: bool = True) -> None:
        """Run a command, and count its requests."""
        if new:
            shutil.rmtree(self.cache, ignore_errors=True)
        self.counted.taken()
        done = subprocess.run(
            [sys.executable, "-m", "ckptkit", "--store", self.url, *words],
            env={**os.environ, **self.counted.environment, "CKPTKIT_CACHE": str(self.cache)},
            capture_output=True,
            text=True,
        )
        kinds, seen = self.counted.taken()
        if done.returncode != 0:
            raise SystemExit(f"{what}: {done.stdout}{done.stderr}")
        figures = {"what": what, **{name: kinds[name] for name in ("PUT", "LIST", "GET", "HEAD", "DELETE")}}
        self.rows.append({**figures, "priced": priced(kinds), "bytes_sent": sum(one.size for one in seen)})
        print("| " + " | ".join(str(value) for value in figures.values()) + " |", flush=True)
        if self.tell:
            print("\n".join(f"    {one.method} {one.path}" for one in seen), file=sys.stderr)


def filled(url: str, run: str, count: int, folder: Path) -> None:
    """Write a run of so many checkpoints: one is saved, and the others are made of it."""
    from ckptkit import CheckpointStore
    from ckptkit.digest import digest_bytes
    from ckptkit.formats import strict_json
    from ckptkit.manifest.names import step_folder
    from ckptkit.storage.objects.keys import RunKeys
    from ckptkit.storage.objects.member import new_place, with_place
    from ckptkit.storage.objects.opening import open_objects
    from ckptkit.store import Files

    store, keys, objects = CheckpointStore(url), RunKeys(run), open_objects(url)
    store.save(run, count, {"model": Files(folder, "files")}, resume=["python", "train.py", "{run}@{step}"])
    (saved,) = store.locate(run)
    fields = json.loads(saved.storage.read(saved, "manifest.json", 1 << 20))
    del fields["digest"]
    paths = [file["path"] for item in fields["items"].values() for file in item["files"]]

    def write(step: int) -> None:
        said = strict_json.dumps({**fields, "step": step, "sequence": step, "metrics": {"loss": 1 / step}})
        place = new_place(step_folder(step))
        for path in paths:
            objects.write(keys.payload(place) + path, (folder / Path(path).name).read_bytes())
        sealed = b'%s,"digest":"%s"}\n' % (said[:-1], digest_bytes(said).encode())
        objects.write(keys.manifest(step_folder(step)), with_place(sealed, place))

    with ThreadPoolExecutor(16) as crew:
        list(crew.map(write, range(1, count)))


def folders(place: Path) -> Iterator[tuple[str, Path]]:
    """Yield what is saved: few files, many, and a large one."""
    for count in (1, _FILES, 100):
        folder = place / f"{count}"
        folder.mkdir()
        for number in range(count):
            (folder / f"part{number}.bin").write_bytes(os.urandom(4096))
        yield f"{count} files of 4 KiB", folder
    folder = place / "large"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(os.urandom(_LARGE << 20))
    yield f"a file of {_LARGE} MiB", folder


def count_all(table: Table, runs: Sequence[int], saved: dict[str, Path], out: Path) -> None:
    for size in runs:
        run = f"of{size}"
        filled(table.url, run, size, saved[f"{_FILES} files of 4 KiB"])
        table.row(f"`list` of a run of {size}, no index", "list", run)
        table.row("the same again, from this machine", "list", run, new=False)
        table.row("the same, from another machine", "list", run)
        table.row(f"`resume-cmd` of a run of {size}", "resume-cmd", run)
        table.row(f"`verify --level digest` of one of {size}, 2 files", "verify", f"{run}@3", "--level", "digest")
        table.row("`verify` (format)", "verify", f"{run}@3")
        table.row("the same again, from this machine", "verify", f"{run}@3", new=False)
        table.row(f"`verify` of a run of {size}", "verify", run)
        table.row(f"`show` of one of {size}", "show", f"{run}@3")
        table.row(f"`restore` of one of {size}, 2 files", "restore", f"{run}@3", str(out / run))
        table.row(f"`pin` of one of {size}", "pin", f"{run}@3")
        for what, folder in saved.items():
            step = str(size + 10 + len(table.rows))
            table.row(f"`save` of {what} into a run of {size}", "save", run, "--step", step, f"files:files={folder}")
        policy = ("--keep-last", str(size - 5))
        table.row(f"`prune {' '.join(policy)}`, the plan", "prune", run, *policy)
        table.row("the same again, from this machine", "prune", run, *policy, new=False)
        table.row("the same, applied, from this machine", "prune", run, *policy, "--apply", new=False)
        table.row(f"`undelete` of one of {size}", "undelete", f"{run}@2")
        table.row("`list` of all runs, another machine", "list")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[10, 1000], help="checkpoints of the runs")
    parser.add_argument("--tell", action="store_true", help="write each request to standard error")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name, started("s3") as server, Counted(server) as counted:
        place = Path(name)
        saved = dict(folders(place))
        table = Table(counted, server.place(), place / "cache", args.tell)
        print("| what | PUT | LIST | GET | HEAD | DELETE |\n|---|---|---|---|---|---|")
        count_all(table, args.runs, saved, place)
    written = json.dumps({"requests": table.rows}, indent=1)
    if args.json is None:
        print(f"\n{written}")
    else:
        args.json.write_text(written + "\n")


if __name__ == "__main__":
    main()
