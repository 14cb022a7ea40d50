"""One training in three processes: straight through without saving; saving, until it stops; on from its checkpoints."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ckptkit import CheckpointStore

RUN = "r"


class StopTrainingError(Exception):
    """Ends a training where a crash would."""


Train = Callable[[str, Path, int | None, int | None], str | None]
"""``train(kind, place, stop, resume)``; ``stop`` saves at each step and ends before one; neither: straight through."""


def main(train: Train, kinds: Iterable[str], saves: tuple[int, ...]) -> None:
    """Run one part of the story, and print what came out as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=["straight", "first", "second"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("kinds", nargs="*")
    wanted = parser.parse_args()
    found: dict[str, Any] = {}
    for kind in wanted.kinds or kinds:
        place = wanted.folder / kind.replace(" ", "-").replace(",", "").replace("'", "")
        if wanted.part == "straight":
            found[kind] = train(kind, place / "straight", None, None)
        elif wanted.part == "first":
            train(kind, place, max(saves) + 1, None)
            found[kind] = _said(place / "store", saves)
        else:
            found[kind] = {step: _resumed(train, kind, place, step) for step in saves}
    print("JSON", json.dumps(found))


def _said(store: Path, saves: tuple[int, ...]) -> dict[int, list[str]]:
    items = {
        at.step: json.loads(at.manifest.read_text())["items"].values()
        for at in CheckpointStore(store).locate(RUN)
        if at.step in saves
    }
    return {step: [text for item in of for text in item["captured"].get("reasons", ())] for step, of in items.items()}


def _resumed(train: Train, kind: str, place: Path, step: int) -> str | None:
    apart = place.with_name(f"{place.name}-{step}")
    shutil.copytree(place, apart)
    try:
        return train(kind, apart, None, step)
    except Exception:
        traceback.print_exc()
        return traceback.format_exc().splitlines()[-1]


def tell(program: str, folder: Path) -> Mapping[str, Any]:
    """Run all three processes, and return what each printed."""
    found = {}
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    for part in ("straight", "first", "second"):
        command = [sys.executable, program, part, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        found[part] = json.loads(done.stdout.split("JSON ")[1])
    return found
