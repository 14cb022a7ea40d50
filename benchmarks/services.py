"""Put, get and list objects of real servers, beside their plain clients: `python -m benchmarks.services`.

Ours is what a store asks a service through (`Objects`): uploads are sent with their checksum, downloads are of one
version. (That uploads arrived, a save asks once for all of them.) The plain client is obstore for S3 and Azure, gcsfs
for GCS, fsspec's own `sftp` for SFTP. All run in one process, in turns, after a round that does not count; *ratio* is
the median over the rounds of the plain client's time to ours, in the same round: above 1, ours is the faster.
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from benchmarks.object_services import SERVERS, started
from ckptkit.storage.objects.opening import open_objects

_THREADS = 16
_BLOCK = 1 << 22
_READ = 1 << 18  # bytes: what a store reads and writes at a time


class Client(Protocol):
    """Objects below one prefix."""

    def put(self, key: str, path: Path) -> None: ...
    def get(self, key: str, path: Path) -> None: ...
    def listed(self) -> int: ...
    def delete(self, keys: Iterable[str]) -> None: ...


class Ours:
    def __init__(self, url: str) -> None:
        self._objects = open_objects(url)

    def put(self, key: str, path: Path) -> None:
        self._objects.upload(key, path)

    def get(self, key: str, path: Path) -> None:
        block = memoryview(bytearray(_READ))
        with self._objects.open(key) as stream, path.open("wb", buffering=0) as out:
            source: Any = stream
            while count := source.readinto(block):
                out.write(block[:count])

    def listed(self) -> int:
        return sum(1 for _ in self._objects.below(""))

    def delete(self, keys: Iterable[str]) -> None:
        self._objects.delete(keys)


class Obstore:
    """obstore as its manual uses it: no checksums, no look at what arrived."""

    def __init__(self, url: str) -> None:
        import obstore.store

        self._store: Any = obstore.store.from_url(url, client_options={"allow_http": True}, **_azure(url))

    def put(self, key: str, path: Path) -> None:
        self._store.put(key, path)

    def get(self, key: str, path: Path) -> None:
        with path.open("wb") as out:
            for block in self._store.get(key).stream(min_chunk_size=_BLOCK):
                out.write(block)

    def listed(self) -> int:
        return sum(len(page) for page in self._store.list())

    def delete(self, keys: Iterable[str]) -> None:
        self._store.delete(list(keys))


class Fsspec:
    def __init__(self, url: str) -> None:
        import fsspec

        parts = urlsplit(url)
        buckets = parts.scheme == "gs"
        more = {"token": "anon", "use_listings_cache": False} if buckets else _sftp(parts.hostname, parts.port)
        self._system: Any = fsspec.filesystem(parts.scheme, **more, skip_instance_cache=True)
        self._root = f"{parts.netloc}{parts.path}" if buckets else parts.path
        if not buckets:
            self._system.makedirs(self._root, exist_ok=True)

    def put(self, key: str, path: Path) -> None:
        self._system.put_file(str(path), f"{self._root}/{key}")

    def get(self, key: str, path: Path) -> None:
        self._system.get_file(f"{self._root}/{key}", str(path))

    def listed(self) -> int:
        return len(self._system.find(self._root))

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._system.rm_file(f"{self._root}/{key}")


def _azure(url: str) -> dict[str, Any]:
    if not url.startswith("az:"):
        return {}
    return {"account_name": os.environ["AZURE_STORAGE_ACCOUNT_NAME"], "endpoint": os.environ["AZURE_STORAGE_ENDPOINT"]}


def _sftp(host: str | None, port: int | None) -> dict[str, Any]:
    return {"host": host, "port": port, "key_filename": f"{os.environ['HOME']}/.ssh/id"}


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return seconds on the clock, and of this process's processor time."""
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    work()
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def many(work: Callable[[str], None], keys: Iterable[str], threads: int) -> None:
    """Do it for each key, several at a time: both sides with as many threads."""
    with ThreadPoolExecutor(threads) as crew:
        list(crew.map(work, keys))


def works(client: Client, place: Path, keys: list[str], threads: int) -> Mapping[str, Callable[[], object]]:
    """Return what is measured, in this order."""
    large, small, back = place / "large", place / "small", place / "back"
    return {
        "large up": partial(client.put, "large", large),
        "large down": partial(client.get, "large", back),
        "small up": partial(many, lambda key: client.put(key, small), keys, threads),
        "small down": partial(many, lambda key: client.get(key, place / f"{key}.back"), keys, threads),
        "list": client.listed,
        "delete": partial(client.delete, [*keys, "large"]),
    }


def compare(kind: str, place: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Measure one service, and print its rows."""
    plain: Callable[[str], Client] = Obstore if kind in ("s3", "azure") else Fsspec
    keys = [f"{number:05d}" for number in range(args.count)]
    taken: dict[str, dict[str, list[tuple[float, float]]]] = {}
    with started(kind) as server:
        clients: dict[str, Client] = {"ours": Ours(server.place()), "plain": plain(server.place())}
        # fsspec's sftp has one connection, which is no use to several threads
        threads = {"ours": _THREADS, "plain": 1 if kind == "sftp" else _THREADS}
        doing = {name: works(client, place, keys, threads[name]) for name, client in clients.items()}
        for number in range(args.rounds + 1):
            for what in doing["ours"]:
                for name, own in doing.items():
                    spent = timed(own[what])
                    if number > 0:
                        taken.setdefault(what, {}).setdefault(name, []).append(spent)
    amounts = {"large": (args.megabytes * 1.048576, "MB/s"), "small": (args.count, "objects/s")}
    figures = {}
    for what, by in taken.items():
        amount, unit = amounts.get(what.partition(" ")[0], (args.count, "objects/s"))
        wall = {name: statistics.median(one[0] for one in several) for name, several in by.items()}
        cpu = {name: statistics.median(one[1] for one in several) for name, several in by.items()}
        pairs = list(zip(by["plain"], by["ours"], strict=True))
        ratio = [statistics.median(one[at] / two[at] for one, two in pairs) for at in (0, 1)]
        figures[what] = {"wall": wall, "cpu": cpu, "wall_ratio": ratio[0], "cpu_ratio": ratio[1], "runs": by}
        rates = " | ".join(f"{amount / wall[name]:.0f} {unit}" for name in ("ours", "plain"))
        print(
            f"| {kind} | {what} | {rates} | {ratio[0]:.2f} | {cpu['ours']:.2f} | {cpu['plain']:.2f} | {ratio[1]:.2f} |",
            flush=True,
        )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", nargs="+", choices=SERVERS, default=list(SERVERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=256, help="MiB of the large object")
    parser.add_argument("--count", type=int, default=1000, help="small objects")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        place = Path(name)
        with (place / "large").open("wb") as file:
            for _ in range(args.megabytes):
                file.write(os.urandom(1 << 20))
        (place / "small").write_bytes(os.urandom(4096))
        sizes = f"{args.megabytes} MiB, {args.count} objects of 4 KiB"
        print(f"{sizes}; {args.rounds} rounds, load {os.getloadavg()[0]:.1f}\n")
        print("| service | work | ours | plain | ratio | CPU s, ours | plain | ratio |\n" + "|---" * 8 + "|")
        figures = {kind: compare(kind, place, args) for kind in args.services}
    written = json.dumps({"services": figures, "rounds": args.rounds}, indent=1)
    if args.json is None:
        print(f"\n{written}")
    else:
        args.json.write_text(written + "\n")


if __name__ == "__main__":
    main()
