"""The programs of the policy example that look at data run as the document says; the notebook runs from top to end."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from ckptkit_data import DatasetLeakageTester
from ckptkit_data.writing import Recording, write_dataset
from data_planting import EXAMPLE, copy_frames, module, spoil

from ckptkit.errors import ConflictError, UsageError

FULL = "src/data_processing/dataset_leakage_tester.py"
MINIMAL = "src/data_processing/minimal_dataset_leakage_tester.py"
make_dataset = module(EXAMPLE / "make_dataset.py").make_dataset


def program(*words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program of the example from its folder, as its README does."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=EXAMPLE,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("example") / "output"
    done = program("make_dataset.py", root, "--episodes", 6, "--validation", 2)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def leaking(output: Path, tmp_path: Path) -> Path:
    root = Path(shutil.copytree(output, tmp_path / "leaking"))

    def change(rows: list[dict[str, Any]]) -> None:
        copy_frames(rows, 0, 3 * 200, 200)
        for row in rows[2 * 200 : 3 * 200]:
            row["episode_index"] = 1
        for row in rows[5 * 200 :]:
            row["index"] -= 7
        del rows[4 * 200 + 10]

    spoil(root, change)
    return root


def test_the_tester_runs_as_documented(output: Path, leaking: Path) -> None:
    good = program(FULL, "--dataset-root", output)
    assert (good.returncode, good.stderr) == (0, "")
    for title in (
        "Episode Index Uniqueness",
        "Frame Index Continuity",
        "Global Index Overlaps",
        "Duplicate Data",
        "Cross-Episode Contamination",
    ):
        assert f"OK      {title}" in good.stdout
    bad = program(FULL, "--dataset-root", leaking)
    assert bad.returncode == 1
    assert "episode 3 has the same frames as episode 0" in bad.stdout


def test_the_tester_says_in_two_lines_that_a_folder_is_no_dataset(tmp_path: Path) -> None:
    done = program(FULL, "--dataset-root", tmp_path)
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 2


def test_the_class_is_imported_as_documented(output: Path) -> None:
    code = (
        "from data_processing.dataset_leakage_tester import DatasetLeakageTester\n"
        f"tester = DatasetLeakageTester({str(output)!r})\n"
        "results = tester.run_all_tests()\n"
        "tester.print_report()\n"
        "assert all(result.passed for result in results.values())\n"
    )
    done = program("-c", code, env={"PYTHONPATH": str(EXAMPLE / "src")})
    assert done.returncode == 0, done.stderr
    assert "no leak found" in done.stdout


def test_the_minimal_version_finds_the_most_critical_leaks(output: Path, leaking: Path) -> None:
    assert program(MINIMAL, "--dataset-root", output).returncode == 0
    done = program(MINIMAL, "--dataset-root", leaking)
    assert done.returncode == 1
    for line in (
        "episode 1 is in data/chunk-000/file-000.parquet and again in data/chunk-000/file-000.parquet",
        "episode 3 has the frames of episode 0",
        "episode 4: frame 11 at offset 10",
        "episode 5 (index 993 to 1192) overlaps episode 4",
    ):
        assert line in done.stdout


def test_the_minimal_version_imports_pyarrow_and_nothing_else(output: Path) -> None:
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['minimal', '--dataset-root', {str(output)!r}]\n"
        "for name in ('pandas', 'numpy', 'ckptkit', 'ckptkit_data', 'typer'): sys.modules[name] = None\n"
        f"runpy.run_path({MINIMAL!r}, run_name='__main__')\n"
    )
    done = program("-c", code)
    assert done.returncode == 0, done.stderr


def test_the_minimal_version_says_that_a_folder_is_no_dataset(output: Path, tmp_path: Path) -> None:
    done = program(MINIMAL, "--dataset-root", tmp_path)
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    root = Path(shutil.copytree(output, tmp_path / "damaged"))
    next((root / "data").rglob("*.parquet")).write_bytes(b"damaged")
    assert program(MINIMAL, "--dataset-root", root).returncode == 1


def test_the_notebook_runs_from_top_to_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    notebook = """
import sys
import nbclient, nbformat
from jupyter_client.manager import AsyncKernelManager
source, folder = sys.argv[1:]
book = nbformat.read(source, 4)
# A socket in a folder of its own, not a port: several runs at once do not meet.
kernels = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=folder + "/kernel")
here = {"metadata": {"path": source.rpartition("/")[0]}}
nbclient.NotebookClient(book, km=kernels, timeout=60, resources=here).execute()
print("".join(o.get("text", "") for cell in book.cells for o in cell.get("outputs", ())))
"""
    settings = {f"{name}_DIR": str(tmp_path / name) for name in ("IPYTHON", "JUPYTER_RUNTIME", "JUPYTER_CONFIG")}
    done = program(
        "-c",
        notebook,
        EXAMPLE / "src/dataset_leakage_demo.ipynb",
        tmp_path,
        env={**settings, "IPYTHONDIR": str(tmp_path), "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert "18 60 3 10 40" in done.stdout
    assert "episode 9 is within 1e-05 of episode 2" in done.stdout


def test_the_notebook_is_stored_without_output() -> None:
    book = json.loads((EXAMPLE / "src/dataset_leakage_demo.ipynb").read_text())
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in book["cells"])


@pytest.mark.parametrize("layout", ["v2.1", "v3.0"])
def test_a_dataset_has_the_files_and_columns_that_lerobot_expects(layout: str, tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "dataset", "Pendulum-v1", 3, layout, max_steps=10)
    common = {"meta/info.json"}
    v2 = {"meta/episodes.jsonl", "meta/episodes_stats.jsonl", "meta/tasks.jsonl"}
    v2 |= {f"data/chunk-000/episode_{e:06d}.parquet" for e in range(3)}
    v3 = {"meta/stats.json", "meta/tasks.parquet", "meta/episodes/chunk-000/file-000.parquet"}
    v3 |= {"data/chunk-000/file-000.parquet"}
    written = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    assert written == common | (v2 if layout == "v2.1" else v3)
    schema = pq.read_schema(min((root / "data").rglob("*.parquet")))
    kinds = {field.name: str(field.type) for field in schema}
    assert kinds.pop("observation.state").startswith("fixed_size_list<")
    assert kinds == {
        "action": "float",  # one value per frame: a plain column
        "next.reward": "float",
        "next.done": "bool",
        "timestamp": "float",
        "frame_index": "int64",
        "episode_index": "int64",
        "index": "int64",
        "task_index": "int64",
    }
    info = json.loads((root / "meta/info.json").read_text())
    assert (info["codebase_version"], info["total_frames"], info["fps"]) == (layout, 30, 30)
    assert set(info["features"]) == set(schema.names)


def test_the_tasks_of_v3_are_the_index_of_a_pandas_table(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "dataset", "CartPole-v1", 2)
    table = pq.read_table(root / "meta/tasks.parquet")
    assert json.loads(table.schema.metadata[b"pandas"])["index_columns"] == ["task"]
    assert table.to_pylist() == [{"task_index": 0, "task": "balance the pole"}]


def test_statistics_are_those_of_the_data(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "dataset", "Pendulum-v1", 4)
    states = [v[2] for v in pq.read_table(root / "data").column("observation.state").to_pylist()]
    stats = json.loads((root / "meta/stats.json").read_text())["observation.state"]
    mean = sum(states) / len(states)
    assert stats["mean"][2] == pytest.approx(mean, abs=1e-4)
    assert stats["std"][2] == pytest.approx((sum((s - mean) ** 2 for s in states) / len(states)) ** 0.5, rel=1e-4)
    assert (stats["min"][2], stats["max"][2]) == (min(states), max(states))


def test_the_same_seed_records_the_same_bytes(tmp_path: Path) -> None:
    one, two = (make_dataset(tmp_path / name, "CartPole-v1", 3, seed=5) for name in ("one", "two"))
    for file in one.rglob("*.parquet"):
        assert file.read_bytes() == (two / file.relative_to(one)).read_bytes()


def test_another_rate_is_taken_over(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "dataset", "CartPole-v1", 2, "v2.1", fps=12.5)
    assert json.loads((root / "meta/info.json").read_text())["fps"] == 12.5
    assert DatasetLeakageTester(root).report.findings == []


def test_a_folder_with_something_in_it_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(ConflictError, match="not an empty folder"):
        make_dataset(tmp_path, episodes=1)
    done = program("make_dataset.py", tmp_path)
    assert done.returncode == 6
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize("options", [{"episodes": 0}, {"validation": 20}, {"layout": "v1.6"}, {"fps": -1}], ids=str)
def test_absurd_requests_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        make_dataset(tmp_path / "dataset", **options)


def test_episodes_with_other_columns_are_refused(tmp_path: Path) -> None:
    episodes = [Recording({"action": [[1.0, 2.0]]}), Recording({"action": [[1.0]]})]
    with pytest.raises(UsageError, match="other columns"):
        write_dataset(tmp_path / "dataset", episodes, fps=10)
