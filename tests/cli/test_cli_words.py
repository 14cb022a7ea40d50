"""What people type by habit, by mistake or in another place is understood, or answered with the right word."""

import json
import os
import shutil
from pathlib import Path

import pytest
from command_line import ckptkit as in_a_process
from command_line import inside as ckptkit
from command_line import refused

from ckptkit.cli import built_in, habits


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("ls", "`ckptkit list` lists"),
        ("LS", "`ckptkit list` lists"),
        ("status", "`ckptkit list` lists"),
        ("history", "`ckptkit list` lists"),
        ("log", "`ckptkit list` lists"),
        ("rm", "`ckptkit prune` shows"),
        ("delete", "`ckptkit prune` shows"),
        ("gc", "`ckptkit prune` shows"),
        ("check", "`ckptkit verify` reads"),
        ("load", "`ckptkit restore REF DEST`"),
        ("resume", "`ckptkit resume-cmd RUN`"),
        ("lst", "did you mean list?"),
        ("verfiy", "did you mean verify?"),
        ("resume_cmd", "did you mean resume-cmd?"),
        ("frobnicate", "`ckptkit --help` shows all commands"),
    ],
)
def test_a_word_that_is_no_command_is_answered_with_the_right_one(word: str, answer: str, tmp_path: Path) -> None:
    done = ckptkit(word, "--force", cwd=tmp_path)
    refused(done, 2, f"there is no command `{word}`")
    assert answer in done.stderr.splitlines()[1]


def test_no_habit_hides_a_command_and_all_answers_name_one_that_exists() -> None:
    assert {*built_in.NAMES} & habits.HABITS.keys() == set()
    named = {answer.split()[1].strip("`") for answer in habits.HABITS.values()}
    assert {name for name in named if not name.startswith("-")} - {*built_in.NAMES} == set()


def test_a_hostile_word_controls_no_terminal(tmp_path: Path) -> None:
    done = ckptkit("\x1b[31mls\n", cwd=tmp_path)
    refused(done, 2, "\\x1b[31mls")


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("word", ["-q", "--quiet"])
def test_quiet_may_stand_anywhere(word: str, place: int, store: Path) -> None:
    words = ["verify", "a/run"]
    done = ckptkit(*words[:place], word, *words[place:], store=store)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_debug_may_stand_anywhere(place: int, store: Path) -> None:
    words = ["show", "a/run@9"]
    done = ckptkit(*words[:place], "--debug", *words[place:], store=store)
    assert done.returncode == 4
    assert "Traceback" in done.stderr


def test_what_stands_after_the_dashes_is_not_ours(store: Path) -> None:
    done = ckptkit("resume-cmd", "a/run", "--format", "json", "--", "-q", "--debug", store=store)
    assert json.loads(done.stdout)["argv"][-2:] == ["-q", "--debug"]
    assert "resuming a/run@3" in done.stderr
    assert "Traceback" not in ckptkit("resume-cmd", "a/rum", "--", "--debug", store=store).stderr


def test_every_command_of_ours_takes_quiet_and_debug(tmp_path: Path) -> None:
    for name in built_in.NAMES:
        text = ckptkit(name, "--help", cwd=tmp_path).stdout
        assert "-q, --quiet" in text, name
        assert "--debug" in text, name


def test_a_command_of_another_package_takes_quiet_too(tmp_path: Path) -> None:
    assert "not a LeRobot dataset" in ckptkit("check-data", "-q", tmp_path).stderr


@pytest.mark.parametrize("word", ["-V", "--version"])
def test_the_version_has_a_short_and_a_long_name(word: str, tmp_path: Path) -> None:
    assert ckptkit(word, cwd=tmp_path).stdout.startswith("ckptkit ")


def test_python_runs_the_package_under_the_name_of_the_program(tmp_path: Path) -> None:
    import sys

    done = in_a_process("list", "--help", cwd=tmp_path, program=[sys.executable, "-m", "ckptkit"])
    assert done.stdout.startswith("Usage: ckptkit list ")


def test_a_misspelt_run_is_answered_with_the_nearest(store: Path) -> None:
    shutil.copytree(store / "a", store / "b")
    for words in (
        ["show", "a/rum"],
        ["verify", "A/Run"],
        ["resume-cmd", "a/runn"],
        ["prune", "a/rnu", "--keep-last", "1"],
    ):
        done = ckptkit(*words, store=store)
        refused(done, 4)
        assert "did you mean a/run" in done.stderr.splitlines()[1]
    told = ckptkit("list", "run", store=store).stderr
    assert "did you mean" in told
    assert "a/run" in told
    assert "b/run" in told
    assert "did you mean" not in ckptkit("show", "something-else", store=store).stderr


def test_a_misspelt_backend_is_answered_with_the_nearest(rng_file: Path, tmp_path: Path) -> None:
    done = ckptkit("save", "r", "--step", "1", f"a:file={rng_file}", store=tmp_path / "s")
    refused(done, 7, "backend 'file' is not installed")
    assert "did you mean a:files=?" in done.stderr.splitlines()[1]


@pytest.mark.parametrize("more", [[], ["other=FILE"]])
def test_a_save_without_a_run_says_that_the_run_is_missing(more: list[str], rng_file: Path, tmp_path: Path) -> None:
    words = [word.replace("FILE", str(rng_file)) for word in ["rng=FILE", *more]]
    refused(ckptkit("save", "--step", "1", *words, store=tmp_path / "s"), 2, "RUN is missing before rng=")
    assert not (tmp_path / "s").exists()


def test_a_run_may_be_called_as_what_it_tries(rng_file: Path, tmp_path: Path) -> None:
    done = ckptkit("save", "sweep/lr=0.1", "--step", "1", f"rng={rng_file}", store=tmp_path / "s")
    assert done.returncode == 0, done.stderr


def test_a_plan_without_apply_is_refused(store: Path) -> None:
    refused(ckptkit("prune", "--keep-last", "1", "--plan", "x", store=store), 2, "--plan is of no use without --apply")


@pytest.mark.parametrize("option", ["--junit", "--sarif"])
@pytest.mark.parametrize("place", ["nowhere/report", ".", "/proc/report"])
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_read(
    option: str, place: str, store: Path, tmp_path: Path
) -> None:
    (store / "a" / "run" / "step-00000003" / "rng" / "rng.json").write_text("{}")
    done = ckptkit("verify", option, place, store=store, cwd=tmp_path)
    refused(done, 2, f"{option} {place}: ")
    assert done.stdout == "", "the damage was not looked for"


def test_a_report_that_can_be_written_leaves_nothing_until_it_is(store: Path, tmp_path: Path) -> None:
    done = ckptkit("verify", "--junit", "report.xml", "--sarif", store / "x.sarif", store=store, cwd=tmp_path)
    assert done.returncode == 5
    assert os.listdir(tmp_path) == ["store"]


@pytest.mark.parametrize(
    ("words", "reason", "hint"),
    [
        (["list", "--format", "jsn"], "'jsn' is not one of 'table'", "did you mean json?"),
        (["list", "--formt", "json"], "No such option: --formt", "did you mean --format"),
        (["list", "--xyz"], "No such option: --xyz", "see `ckptkit list --help`"),
        (["show"], "REF is missing", "write ckptkit show REF"),
        (["restore", "a/run"], "DEST is missing", "write ckptkit restore REF DEST;"),
        (["save", "r", "--step", "1"], "NAME=PATH is missing", "write ckptkit save RUN NAME=PATH...;"),
        (["save", "r", "--step", "1", "a=b", "--metric", "x=y"], "not a number", "see `ckptkit save --help`"),
    ],
)
def test_a_line_that_is_misspelt_or_too_short_says_what_was_meant(
    words: list[str], reason: str, hint: str, store: Path
) -> None:
    done = ckptkit(*words, store=store)
    refused(done, 2, reason)
    assert hint in done.stderr.splitlines()[1]
