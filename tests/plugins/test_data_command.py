"""`ckptkit check-data` as a shell and a CI server see it, and the door through which such commands come in."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from ckptkit_data.writing import Recording, write_dataset

from ckptkit.cli import main
from ckptkit.cli.commands import load
from ckptkit.cli.help import examples

PROGRAM = [sys.executable, "-m", "ckptkit.cli.main"]


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return dataset(tmp_path / "clean")


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    return dataset(tmp_path / "leaking", twin=2)


def dataset(root: Path, twin: int | None = None) -> Path:
    episodes = []
    for e in range(4):
        of = 0 if e == twin else e
        states = [[of + 0.01 * f, float(f)] for f in range(12)]
        episodes.append(Recording({"observation.state": states, "action": [[0.1 * of * f, f] for f in range(12)]}))
    return write_dataset(root, episodes, fps=10, splits={"train": "0:2", "val": "2:4"})


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> tuple[int, str, str]:
    """Run the program in this process, as its entry point does."""
    monkeypatch.setattr(sys, "argv", ["ckptkit", *map(str, words)])
    code = main._run()
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def ckptkit(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda *words: run(capsys, monkeypatch, *words)


def test_a_clean_dataset_ends_with_0(ckptkit: Any, clean: Path) -> None:
    code, out, err = ckptkit("check-data", clean)
    assert code == 0
    assert out.splitlines()[0].startswith("CHECK\tRESULT\tSEVERITY\tCODE\tEPISODE\tFRAME")
    assert {line.split("\t")[1] for line in out.splitlines()[1:]} == {"ok"}
    assert "no leak found in 10 checks" in err


def test_the_examples_of_its_help_work_as_they_are_typed(
    ckptkit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset(tmp_path / "data/robot")
    monkeypatch.chdir(tmp_path)
    lines = examples(load("check-data"))
    assert lines
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "ckptkit"
        code, _, err = ckptkit(*words)
        assert code == 0, (line, err)


def test_findings_end_with_1_and_are_rows_in_a_pipe(ckptkit: Any, leaking: Path) -> None:
    code, out, err = ckptkit("check-data", leaking)
    assert code == 1
    rows = [line.split("\t") for line in out.splitlines()]
    assert all(len(row) == 8 for row in rows)
    assert ["cross_episode_contamination", "failed", "error", "data-duplicate-episode", "2", "0"] in [
        r[:6] for r in rows
    ]
    assert "data-split-leak" in {row[3] for row in rows}
    assert "check-a-dataset.md" in err


def test_a_table_names_every_check_and_every_finding(ckptkit: Any, leaking: Path) -> None:
    _, out, _ = ckptkit("check-data", leaking, "--format", "table")
    for title in ("Episode Index Uniqueness", "Cross-Episode Contamination", "Readable Files"):
        assert title in out
    assert "episode 2 has the same frames as episode 0 (all 12) [data-duplicate-episode]" in out


def test_json_says_all_of_it(ckptkit: Any, leaking: Path) -> None:
    _, out, _ = ckptkit("check-data", leaking, "--format", "json")
    document = json.loads(out)
    assert document["schema_version"]
    assert document["exit_code"] == 1
    assert document["coverage"] == {"episodes": 4, "frames": 48, "files": 1}
    (check,) = [c for c in document["checks"] if c["check"] == "cross_episode_contamination"]
    (found,) = check["findings"]
    assert {k: found[k] for k in ("code", "episode", "frame", "length", "other_episode", "other_frame")} == {
        "code": "data-duplicate-episode",
        "episode": 2,
        "frame": 0,
        "length": 12,
        "other_episode": 0,
        "other_frame": 0,
    }


def test_ndjson_is_a_line_per_check(ckptkit: Any, leaking: Path) -> None:
    _, out, _ = ckptkit("check-data", leaking, "--format", "ndjson")
    assert len([json.loads(line)["check"] for line in out.splitlines()]) == 10


def test_junit_has_a_case_per_check(ckptkit: Any, leaking: Path, tmp_path: Path) -> None:
    _, out, _ = ckptkit("check-data", leaking, "--format", "junit", "--junit", tmp_path / "leaks.xml")
    assert (tmp_path / "leaks.xml").read_text() == out
    (suite,) = ET.fromstring(out)
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("10", "2", "0")
    failed = {case.get("name") for case in suite if case.find("failure") is not None}
    assert failed == {"cross_episode_contamination", "split_leakage"}


def test_junit_of_damaged_metadata_fails_one_case_and_skips_the_rest(ckptkit: Any, clean: Path) -> None:
    (clean / "meta/info.json").write_text("[]")
    code, out, _ = ckptkit("check-data", clean, "--format", "junit")
    assert code == 1
    (suite,) = ET.fromstring(out)
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "9")


def test_near_and_the_other_options_reach_the_tester(ckptkit: Any, leaking: Path) -> None:
    assert ckptkit("check-data", leaking, "--near", "1e-9", "--min-run", "3", "--max-duplicates", "0.1")[0] == 1
    assert "data-duplicate-frames" in ckptkit("check-data", leaking, "--max-duplicates", "0.1")[1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nothing-here",), 10),
        ((".",), 4),
        ((), 2),
        ((".", "--near", "0"), 2),
        ((".", "--near", "x"), 2),
        ((".", "--format", "sarif"), 2),
    ],
)
def test_bad_calls_end_with_two_lines_and_their_code(
    ckptkit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], expected: int
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = ckptkit("check-data", *words)
    assert code == expected
    assert out == ""
    assert len(err.splitlines()) == 2


def test_a_template_that_leaves_the_dataset_ends_with_5(ckptkit: Any, clean: Path) -> None:
    path = clean / "meta/info.json"
    path.write_text(path.read_text().replace('"data/chunk-', '"../chunk-'))
    assert ckptkit("check-data", clean)[0] == 5


def test_quiet_leaves_stderr_empty(ckptkit: Any, clean: Path) -> None:
    assert ckptkit("--quiet", "check-data", clean)[2] == ""


def brought(folder: Path, names: str, code: str, distribution: str = "stranger") -> dict[str, str]:
    """Install a distribution by hand into a folder; returns the environment that has it on the path."""
    info = folder / f"{distribution}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[ckptkit.commands]\n{names}\n")
    (folder / f"{distribution}_module.py").write_text(code)
    import os

    return dict(os.environ) | {"PYTHONPATH": str(folder)}


def shell(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *words], env=env, capture_output=True, text=True, timeout=60)


GREET = '''
import typer

def greet(context: typer.Context, name: str = "you", code: int = 0) -> int:
    """Greet somebody."""
    print("hello", name)
    return code

group = typer.Typer(help="Commands of its own.")

@group.command()
def one() -> int:
    """The first."""
    print("one")
    return 3

@group.command()
def two() -> None:
    """The second."""
'''


def test_a_strangers_command_runs_and_its_result_is_the_exit_code(tmp_path: Path) -> None:
    env = brought(tmp_path, "greet = stranger_module:greet\nmany = stranger_module:group", GREET)
    done = shell(env, "greet", "--name", "all", "--code", "3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "hello all\n", "")
    done = shell(env, "many", "one")
    assert (done.returncode, done.stdout) == (3, "one\n")
    listed = shell(env, "--help").stdout
    assert "greet" in listed
    assert "Greet somebody." in listed
    assert "Commands of its own." in listed


def test_a_command_that_cannot_be_loaded_says_so_and_breaks_no_other(tmp_path: Path) -> None:
    env = brought(
        tmp_path, "broken = stranger_module:none\nlist = stranger_module:none", "raise OSError('two\\nlines')"
    )
    done = shell(env, "broken", "--help", "more")
    assert done.returncode == 7
    assert done.stderr.splitlines()[0] == "ckptkit: command 'broken' cannot be loaded: OSError: two lines"
    assert len(done.stderr.splitlines()) == 2
    listed = shell(env, "--help")
    assert listed.returncode == 0
    assert "(cannot be loaded" in listed.stdout
    assert "check-data" in listed.stdout
    (tmp_path / "checkpoints").mkdir()
    assert shell(env, "--store", str(tmp_path / "checkpoints"), "list").returncode == 0  # a built-in stays what it is


@pytest.mark.parametrize("code", ["import sys; sys.exit(0)", "none = 7"])
def test_whatever_a_strangers_module_does_is_one_line(tmp_path: Path, code: str) -> None:
    done = shell(brought(tmp_path, "broken = stranger_module:none", code), "broken")
    assert done.returncode == 7
    assert len(done.stderr.splitlines()) == 2


def test_two_commands_of_one_name_are_refused(tmp_path: Path) -> None:
    brought(tmp_path, "greet = stranger_module:greet", GREET)
    env = brought(tmp_path, "greet = other_module:greet", GREET, "other")
    done = shell(env, "greet")
    assert done.returncode == 7
    assert "more than one distribution brings it (other, stranger)" in done.stderr


def test_an_unknown_command_is_a_usage_error(ckptkit: Any) -> None:
    code, _, err = ckptkit("no-such-command")
    assert code == 2
    assert "there is no command `no-such-command`" in err


def test_built_in_commands_never_look_for_entry_points(tmp_path: Path) -> None:
    watch = """
import sys
from importlib import metadata
def refused(*args, **kwargs):
    raise AssertionError("looked for entry points")
metadata.entry_points = refused
from ckptkit.cli.main import _run
sys.argv = ["ckptkit", "--store", sys.argv[1], "list"]
sys.exit(_run())
"""
    done = subprocess.run([sys.executable, "-c", watch, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_help_and_refusals_import_neither_numpy_nor_pyarrow(tmp_path: Path) -> None:
    watch = """
import sys
from ckptkit.cli.main import _run
sys.argv = ["ckptkit", *sys.argv[1:]]
_run()
print(sorted({"numpy", "pyarrow", "pandas"} & set(sys.modules)))
"""
    for words in (["--help"], ["check-data", "--help"], ["check-data", str(tmp_path)]):
        done = subprocess.run([sys.executable, "-c", watch, *words], capture_output=True, text=True, timeout=60)
        assert done.stdout.splitlines()[-1] == "[]"


def test_a_dataset_that_was_moved_is_still_clean(ckptkit: Any, clean: Path, tmp_path: Path) -> None:
    shutil.move(clean, tmp_path / "a new place")
    assert ckptkit("check-data", tmp_path / "a new place")[0] == 0
