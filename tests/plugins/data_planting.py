"""Datasets for the tests of the leakage tester: recorded by the example's program, then spoiled row by row."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from ckptkit_data import DatasetLeakageTester, Finding

EXAMPLE = Path(__file__).parents[2] / "examples/lerobot_policy"
FRAMES = 120  # of each pendulum episode


def module(path: Path) -> ModuleType:
    """Return a file of the example as a module."""
    spec = importlib.util.spec_from_file_location(f"lerobot_example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def spoil(root: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change the rows of the data files and write each file again with the rows that came from it."""
    files = sorted((root / "data").rglob("*.parquet"))
    tables = {file: pq.read_table(file) for file in files}
    rows = [row | {"file": file} for file in files for row in tables[file].to_pylist()]
    change(rows)
    for file in files:
        mine = [{k: v for k, v in row.items() if k != "file"} for row in rows if row["file"] == file]
        pq.write_table(pa.Table.from_pylist(mine, tables[file].schema), file)


def copy_frames(rows: list[dict[str, Any]], source: int, target: int, count: int, shift: float = 0.0) -> None:
    """Overwrite what was seen and done at some rows with that of others."""
    for n in range(count):
        seen = rows[source + n]["observation.state"]
        rows[target + n]["observation.state"] = [x + shift for x in seen] if shift else seen
        rows[target + n]["action"] = rows[source + n]["action"]


def findings(root: Path, **options: Any) -> list[Finding]:
    """Return what the tester finds."""
    tester = DatasetLeakageTester(root, **options)
    tester.run_all_tests()
    return tester.report.findings


def codes(root: Path, **options: Any) -> set[str]:
    """Return the codes of what the tester finds."""
    return {f.code for f in findings(root, **options)}


def one(root: Path, code: str, **options: Any) -> Finding:
    """Return the only finding with this code."""
    (found,) = [f for f in findings(root, **options) if f.code == code]
    return found
