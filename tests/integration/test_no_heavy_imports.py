"""The light commands work on checkpoints of all four kinds and import none of the frameworks, not even NumPy."""

import json
import subprocess
import sys
from pathlib import Path

import four_kinds
import pytest

HEAVY = [
    "torch", "tensorflow", "numpy", "stable_baselines3", "safetensors", "gymnasium", "pandas",
    "cloudpickle", "keras", "scipy", "matplotlib", "cryptography",
    "obstore", "gcsfs", "aiohttp", "paramiko", "boto3",  # google_crc32c is small, and used where it is there
]  # fmt: skip
RUNNER = """
import atexit, json, sys
atexit.register(lambda: print("LOADED", json.dumps(sorted(sys.modules)), file=sys.stderr))
from ckptkit.cli.main import run
run()
"""
COMMANDS = {
    "help": ["--help"],
    "list": ["list"],
    "list-json": ["list", "--format", "json"],
    "show": ["show", f"{four_kinds.RUN}@20"],
    "show-table": ["show", f"{four_kinds.RUN}@20", "--format", "table"],
    "diff": ["diff", f"{four_kinds.RUN}@10", f"{four_kinds.RUN}@20"],
    "find": ["find", "--tensor", "*.0.weight"],
    "verify": ["verify", "--level", "format"],
    "verify-junit": ["verify", "--format", "junit"],
    "prune": ["prune", "--keep-last", "1"],
    "prune-apply": ["prune", "--keep-last", "1", "--apply"],
    "resume-cmd": ["resume-cmd", four_kinds.RUN],
    "pin": ["pin", f"{four_kinds.RUN}@10"],
    "tag": ["tag", f"{four_kinds.RUN}@10", "release"],
    "backends": ["backends"],
    "doctor": ["doctor"],
    "config": ["config", "show"],
}


def loaded_by(program: str, *arguments: str) -> set[str]:
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    words = next(line for line in done.stderr.splitlines() if line.startswith("LOADED "))
    return set(json.loads(words.removeprefix("LOADED ")))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_light_command_imports_no_framework(name: str, four_kinds_store: Path) -> None:
    loaded = loaded_by(RUNNER, "--store", str(four_kinds_store), *COMMANDS[name])
    assert "ckptkit.cli.main" in loaded
    assert sorted(loaded & set(HEAVY)) == []
    assert "fsspec" not in loaded, "a tenth of a second, for URLs only"


def test_restoring_files_imports_no_framework(four_kinds_store: Path, tmp_path: Path) -> None:
    loaded = loaded_by(RUNNER, "--store", str(four_kinds_store), "restore", four_kinds.RUN, str(tmp_path / "out"))
    assert sorted(loaded & set(HEAVY)) == []


def test_saving_files_imports_no_framework(four_kinds_store: Path, tmp_path: Path) -> None:
    folder = four_kinds_store / four_kinds.RUN / "step-00000020"
    items = [f"policy={folder}/policy", f"data={folder}/data/iterator", f"agent={folder}/agent/model.zip"]
    items += [f"rng={folder}/rng/rng.json"]
    loaded = loaded_by(RUNNER, "--store", str(tmp_path / "new"), "save", "copy", "--step", "20", *items)
    assert sorted(loaded & set(HEAVY)) == []


BUDGETS = {
    "import ckptkit": [*HEAVY, "fsspec", "yaml", "rich", "typer", "pydantic", "blake3", "asyncio"],
    "from ckptkit import CkptkitError, Files, Ref, Retain, RetentionPolicy, Schedule, StoreReader, rehearsing": [
        *HEAVY,
        "fsspec",
        "yaml",
        "rich",
        "typer",
        "pydantic",
        "blake3",
        "asyncio",
    ],
    "from ckptkit import *": [*HEAVY, "fsspec", "yaml", "rich", "typer", "pydantic"],
    "import ckptkit.cli.main": [*HEAVY, "fsspec", "yaml", "rich.table", "rich.progress", "pydantic", "blake3"],
    "from ckptkit import CheckpointStore": [*HEAVY, "fsspec", "yaml", "rich", "typer", "pydantic"],
    "import ckptkit_numpy, ckptkit_safetensors, ckptkit_tfdata, ckptkit_sb3": [*HEAVY, "fsspec", "typer", "rich"],
}


@pytest.mark.parametrize("statement", BUDGETS)
def test_an_import_stays_within_its_budget(statement: str) -> None:
    program = f"import json, sys\n{statement}\nprint('LOADED', json.dumps(sorted(sys.modules)), file=sys.stderr)"
    assert sorted(loaded_by(program) & set(BUDGETS[statement])) == []
