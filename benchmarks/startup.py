"""Start-up of the command line beside a typer hello-world: `ckptkit --help`, and `ckptkit list` on 1,000 checkpoints.

Prints medians of CPU seconds (user + system) and the ratio to the hello-world in the same run, runs interleaved.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from ckptkit.manifest.reading import sealed

HELLO = """
import typer
app = typer.Typer()
@app.command()
def main(name: str = "world"):
    print("hello", name)
app()
"""
CKPTKIT = "from ckptkit.cli.main import run; run()"


def fill(store: Path, count: int) -> None:
    """Write a store of many small checkpoints of four items."""
    for number in range(count):
        step = 100 * (number + 1)
        folder = store / "bench" / f"step-{step:08d}"
        items = {}
        for name, backend in (("agent", "sb3"), ("data", "tf-data"), ("policy", "safetensors"), ("rng", "numpy-rng")):
            (folder / name).mkdir(parents=True)
            (folder / name / "payload").write_bytes(b"x")
            file = {"path": f"{name}/payload", "size": 1, "digest": "blake3:" + "0" * 64}
            items[name] = {"backend": backend, "format_version": 1, "captured": {"grade": "complete"}, "files": [file]}
        fields = {
            "schema_version": "1.0",
            "run": "bench",
            "step": step,
            "sequence": number + 1,
            "created_at": "2026-01-01T00:00:00.000000Z",
            "metrics": {"loss": 1.0 / step},
            "environment": {"python": "3", "platform": "any", "packages": {}, "threads": 1},
            "items": items,
        }
        (folder / "manifest.json").write_bytes(sealed(fields, "blake3")[1])


def cpu_seconds(command: list[str]) -> float:
    """Run the command and return its user + system CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--checkpoints", type=int, default=1000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hello, store = Path(folder, "hello.py"), Path(folder, "store")
        hello.write_text(HELLO)
        fill(store, args.checkpoints)
        ours = [sys.executable, "-c", CKPTKIT]
        commands = {
            "typer hello": [sys.executable, str(hello)],
            "typer hello --help": [sys.executable, str(hello), "--help"],
            "ckptkit --help": [*ours, "--help"],
            f"ckptkit list ({args.checkpoints})": [*ours, "--store", str(store), "list"],
            "ckptkit list --limit 20": [*ours, "--store", str(store), "list", "--limit", "20"],
        }
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(args.runs):
            for name, command in commands.items():
                taken[name].append(cpu_seconds(command))
    print(f"{'command':28} {'CPU ms':>8} {'spread':>14} {'ratio':>6}")
    base = statistics.median(taken["typer hello"])
    for name, times in taken.items():
        median = statistics.median(times)
        spread = f"{1000 * min(times):.0f}-{1000 * max(times):.0f}"
        print(f"{name:28} {1000 * median:8.0f} {spread:>14} {median / base:6.2f}")


if __name__ == "__main__":
    main()
