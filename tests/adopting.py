"""Run `ckptkit adopt` and say what came of it, for the tests of what it does and of what comes after it."""

import json
from pathlib import Path
from typing import Any

from command_line import inside

from ckptkit import CheckpointStore


def adopt(*words: str | Path, **how: Any) -> tuple[int, list[dict[str, Any]], str]:
    """Return exit code, what came of each checkpoint, and what was said on stderr."""
    done = inside("adopt", *words, "--format", "json", **how)
    return done.returncode, json.loads(done.stdout)["checkpoints"] if done.stdout else [], done.stderr


def states(found: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Return state and action of each, by name."""
    return {Path(one["path"]).name: (one["state"], one["action"]) for one in found}


def refs(store: Path) -> list[str]:
    """Return what is in a store."""
    return [at.ref for at in CheckpointStore(store).locate()]


def command(out: Path, *words: str, cwd: Path | None = None) -> tuple[str, str]:
    """Return the printed resume command without its folder, and what was said."""
    done = inside("resume-cmd", ".", *words, store=out, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout.partition(" && ")[2].strip(), done.stderr
