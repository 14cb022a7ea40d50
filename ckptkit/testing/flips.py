"""Flips single bits of saved files and has a fresh interpreter look at each: check finds it, or load must cope."""

import json
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckptkit.formats import strict_json
from ckptkit.testing import flipped
from ckptkit.testing.elsewhere import where
from ckptkit.testing.hooks import BackendHooks, Saved

_MAGIC = 8  # bytes at the start of a file that every check looks at: they say nothing about how deep it looks


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one flipped bit.

    Attributes:
        file: the file it is in.
        bit: which bit of the file.
        result: ``found`` by check; ``refused`` or ``loaded`` by load; ``raised``: an error that is not ckptkit's;
            ``ended``: the process died, or did not end in time.
        detail: what was raised.
    """

    file: str
    bit: int
    result: str
    detail: str = ""


def bits_of(saved: Saved, count: int) -> list[tuple[str, int]]:
    """Return about this many places, spread over all files by size; always the same ones."""
    chosen = random.Random(count)
    sizes = {file: (saved.directory / file).stat().st_size for file in saved.files}
    total = sum(sizes.values()) or 1
    places = []
    for file, size in sizes.items():
        bits = range(8 * min(_MAGIC, size // 2), 8 * size)
        share = min(len(bits), max(4, count * size // total))
        places += [(file, bit) for bit in sorted(chosen.sample(bits, share))]
    return places


def outcomes(hooks: BackendHooks, saved: Saved, place: Path) -> list[Outcome]:
    """Flip each of the chosen bits in a copy, in a new process; one that ends early is an outcome too."""
    question, answer = place / "flips.json", place / "flipped.ndjson"
    flips = bits_of(saved, hooks.flips)
    fields: dict[str, Any] = {
        **where(type(hooks)),
        "directory": str(saved.directory),
        "files": saved.files,
        "step": saved.step,
        "metadata": saved.metadata,
        "probe": saved.probe,
        "place": str(place / "flipped"),
        "flips": [list(one) for one in flips],
    }
    question.write_bytes(strict_json.dumps(fields))
    command = [sys.executable, "-P", flipped.__file__, str(question), str(answer)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=hooks.limit_seconds, check=False)
        end = f"the process ended with code {done.returncode}: {done.stderr.strip()[-600:]}"
    except subprocess.TimeoutExpired:
        end = f"did not end within {hooks.limit_seconds:g} seconds"
    lines = answer.read_text(encoding="utf-8").splitlines() if answer.exists() else []
    found = [Outcome(*flips[number], **json.loads(line)) for number, line in enumerate(lines)]
    return found if len(found) == len(flips) else [*found, Outcome(*flips[len(found)], "ended", end)]
