"""Start-up of the light commands beside a typer program that prints a word: `python -m benchmarks.startup`."""

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.in_turns import Program, apart, compare, options

HELLO = """
import typer
app = typer.Typer()
@app.command()
def main(name: str = "world"):
    print("hello", name)
app()
"""


def filled(store: Path, count: int) -> None:
    """Save a run of two small items."""
    import numpy as np
    import torch

    from ckptkit import CheckpointStore

    model = torch.nn.Linear(8, 8)
    for step in range(count):
        items = {"policy": model, "rng": np.random.default_rng(step)}
        CheckpointStore(store).save("run", step, items, resume=["python", "train.py", "--resume", "{path}"])


def main() -> None:
    parser = options(__doc__, rounds=15)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as place:
        hello, store = Path(place, "hello.py"), Path(place, "store")
        os.environ["CKPTKIT_CACHE"] = str(Path(place, "cache"))
        hello.write_text(HELLO)
        apart(filled, store, 20)
        words = [
            "--version",
            "--help",
            "list",
            "list --limit 5",
            "resume-cmd run",
            "show run@19",
            "verify run@19",
            "prune --keep-last 3",
        ]
        ours = [sys.executable, "-m", "ckptkit", "--store", str(store)]
        programs = [
            Program("a typer program that does nothing", [sys.executable, str(hello)], peer=True),
            *(Program(f"ckptkit {line}", [*ours, *line.split()]) for line in words),
        ]
        compare("start-up", programs, args)


if __name__ == "__main__":
    main()
