"""Count what calls ask of a large store, and time them: `python -m benchmarks.scale`; docs/explanation/scale.md tells.

The service is one in the memory of this process that answers each request after a set time: so what is measured is how
many requests there are, how many of them at once, and what they cost this machine, the service's own work included.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from counted_service import PAGE, Counting

from ckptkit import CheckpointStore, Files
from ckptkit.digest import digest_bytes
from ckptkit.formats import strict_json
from ckptkit.manifest.names import step_folder
from ckptkit.storage.objects.keys import RunKeys
from ckptkit.storage.objects.member import new_place, parted, with_place
from ckptkit.storage.objects.object_storage import ObjectStorage
from ckptkit.storage.objects.service import Info, Level, Only, Written


class Distant(Counting):
    """A service that answers after a while, and finds keys as fast as a real one.

    Attributes:
        latency: seconds of each request.
    """

    def __init__(self) -> None:
        super().__init__()
        self.latency = 0.0
        self._keys: list[str] = []
        for name in ("look", "read"):
            setattr(self, name, self._late(getattr(self, name)))

    def _late(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def late(*args: Any, **kwargs: Any) -> Any:
            time.sleep(self.latency)
            return call(*args, **kwargs)

        return late

    def write(self, key: str, data: bytes, only: Only | None = None) -> Written:
        time.sleep(self.latency)
        self._keys = []
        return super().write(key, data, only)

    def _from(self, key: str) -> Iterator[str]:
        if len(self._keys) != len(self.content):
            self._keys = sorted(self.content)
        for at in range(bisect_left(self._keys, key), len(self._keys)):
            yield self._keys[at]

    def _asked(self, number: int) -> None:
        if number % PAGE == 0:
            self.requests["list"] += 1
            time.sleep(self.latency)

    def below(self, prefix: str) -> Iterator[Info]:
        self._asked(0)
        for number, key in enumerate(self._from(prefix)):
            if not key.startswith(prefix):
                return
            if number:
                self._asked(number)
            yield self.content[key][1]

    def level(self, prefix: str) -> Level:
        folders: list[str] = []
        objects: list[Info] = []
        self._asked(0)
        key = next(self._from(prefix), None)
        while key is not None and key.startswith(prefix):
            name, slash, _ = key.removeprefix(prefix).partition("/")
            if slash:
                folders.append(name)
            else:
                objects.append(self.content[key][1])
            if (len(folders) + len(objects)) % PAGE == 0:
                self._asked(0)
            key = next(self._from(f"{prefix}{name}0" if slash else f"{key}\0"), None)  # "0" comes after "/"
        return Level(tuple(folders), tuple(objects))


def fill(service: Distant, runs: int, each: int, folder: Path) -> None:
    """Put runs there of so many checkpoints: the last of each is saved, and the others are made of it."""
    for number in range(runs):
        run, last = f"run{number:05d}", step_folder(each)
        CheckpointStore(ObjectStorage(service, outlives=False)).save(run, each, {"model": Files(folder, "files")})
        keys = RunKeys(run)
        sealed, place = parted(service.content[keys.manifest(last)][0])
        fields = json.loads(sealed)
        del fields["digest"]
        paths = [file["path"] for item in fields["items"].values() for file in item["files"]]
        payload = {path: service.content[keys.payload(place or "") + path][0] for path in paths}
        for step in range(1, each):
            said = strict_json.dumps({**fields, "step": step, "sequence": step, "metrics": {"loss": 1 / step}})
            home = new_place(step_folder(step))
            for path, data in payload.items():
                _put(service, keys.payload(home) + path, data)
            sealed = b'%s,"digest":"%s"}\n' % (said[:-1], digest_bytes(said).encode())
            _put(service, keys.manifest(step_folder(step)), with_place(sealed, home))


def _put(service: Distant, key: str, data: bytes) -> None:
    service.content[key] = data, Info(key, len(data), f"v{len(service.content)}", datetime.now(UTC))


def calls(service: Distant, folder: Path, each: int, many: bool) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """Yield what is measured: its name, the cache of the machine that does it, and the call of a new process."""
    run = "run00000"

    def store() -> CheckpointStore:
        return CheckpointStore(ObjectStorage(service, outlives=False))

    def listed(**how: Any) -> int:
        return sum(1 for _ in store().list(None if many else run, **how))

    yield "`list`, no index", "a", listed
    yield "the same again", "a", listed
    yield "the same, another machine", "b", listed
    if many:
        return
    yield "`list --limit 20`, another machine", "c", partial(listed, limit=20)
    yield "`save`", "d", lambda: store().save(run, each + 1, {"model": Files(folder, "files")})
    yield "`verify` of one", "e", lambda: store().verify(f"{run}@3")
    yield "`restore` of the newest", "f", lambda: store().restore(run, into={"model": None})
    yield "`pin`", "g", lambda: store().pin(f"{run}@3")


def measure(size: str, latency: float) -> Iterator[dict[str, Any]]:
    """Yield what each call takes in a store of this size."""
    runs, each = map(int, size.split("x"))
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name) / "model"
        folder.mkdir()
        for number in range(2):
            (folder / f"{number}.bin").write_bytes(os.urandom(100))
        service = Distant()
        fill(service, runs, each, folder)
        service.latency = latency
        for what, cache, call in calls(service, folder, each, runs > 1):
            os.environ["CKPTKIT_CACHE"] = str(Path(name) / cache)
            yield {"size": size, "call": what, **timed(service, call)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=["1x1000", "1x10000", "1x100000", "1000x10"], help="RUNSxEACH")
    parser.add_argument("--latency", type=float, default=20.0, help="milliseconds of each request")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print("| runs x checkpoints | call | PUT | LIST | GET | HEAD | s | CPU s |\n" + "|---" * 8 + "|")
    for size in args.sizes:
        for row in measure(size, args.latency / 1000):
            print("| " + " | ".join(map(str, row.values())) + " |", flush=True)
            rows.append(row)
    print(f"\nlargest memory, the service included: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")
    written = json.dumps({"latency_ms": args.latency, "calls": rows}, indent=1)
    if args.json is None:
        print(f"\n{written}")
    else:
        args.json.write_text(written + "\n")


def timed(service: Distant, work: Callable[[], object]) -> dict[str, float]:
    """Return the requests of a call, and its seconds."""
    service.requests.clear()
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    work()
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    asked = service.requests
    return {
        "PUT": asked["write"],
        "LIST": asked["list"],
        "GET": asked["read"],
        "HEAD": asked["look"] + asked["delete_only"],
        "seconds": round(wall, 2),
        "cpu_seconds": round(cpu, 2),
    }


if __name__ == "__main__":
    main()
