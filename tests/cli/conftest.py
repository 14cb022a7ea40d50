"""A small store for the command line: one run with three steps of adopted generator states."""

import importlib.util
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from ckptkit import CheckpointStore

# `make lowest` runs this folder without frameworks: the files that need one are left to `make test`.
_MISSING = [name for name in ("torch", "sklearn", "tensorflow") if importlib.util.find_spec(name) is None]
_NEEDS_IT = re.compile(rf"^\s*(?:import|from) (?:{'|'.join(_MISSING) or '(?!)'})\b", re.MULTILINE)
collect_ignore = [path.name for path in Path(__file__).parent.glob("test_*.py") if _NEEDS_IT.search(path.read_text())]

RESUME = ["python", "train.py", "--resume", "{checkpoint}", "--step={step}"]


def write_rng(path: Path, seed: int = 0) -> Path:
    """Write the state of a generator as a trainer would dump it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(np.random.PCG64(seed).state))
    return path


@pytest.fixture(scope="session")
def small_store_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    store = CheckpointStore(folder / "store")
    for step in (1, 2, 3):
        rng = write_rng(folder / "rng.json", step)
        store.save("a/run", step, {"rng": rng}, metrics={"loss": 1.0 / step}, resume=RESUME, cwd="/")
    return folder / "store"


@pytest.fixture
def store(small_store_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_store_once, tmp_path / "store"))


@pytest.fixture
def rng_file(tmp_path: Path) -> Path:
    return write_rng(tmp_path / "trainer" / "rng.json", 9)
