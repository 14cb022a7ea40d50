"""A command that was to print JSON tells its errors as one JSON object too, the last line of stderr."""

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import inside as ckptkit

from ckptkit import errors

FIELDS = {"schema_version", "error", "message", "hint", "exit_code", "item", "file"}


def told(*words: str | Path, store: Path) -> dict[str, Any]:
    done = ckptkit(*words, store=store)
    assert done.stdout == ""
    document: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    assert document.keys() == FIELDS
    assert document["exit_code"] == done.returncode
    assert document["schema_version"] == "1.0"
    assert issubclass(getattr(errors, document["error"]), errors.CkptkitError)
    return document


@pytest.mark.parametrize(
    ("words", "error", "code"),
    [
        (["show", "a/rum", "--format", "json"], "NotFoundError", 4),
        (["show", "a/rum", "--format=ndjson"], "NotFoundError", 4),
        (["list", "--limit", "x", "--format", "json"], "UsageError", 2),
        (["list", "--format", "json", "--frobnicate"], "UsageError", 2),
        (["config", "show", "../x", "--format", "json"], "RunNameError", 2),
        (["lst", "--format", "json"], "UsageError", 2),
        (["prune", "--keep-last", "0", "--format", "json"], "UsageError", 2),
        (["resume-cmd", "a/rum", "--format", "json"], "NotFoundError", 4),
    ],
)
def test_an_error_is_one_object(words: list[str], error: str, code: int, store: Path) -> None:
    document = told(*words, store=store)
    assert (document["error"], document["exit_code"]) == (error, code)
    assert document["message"]
    assert document["hint"]


def test_it_names_the_file_where_the_system_said_which(tmp_path: Path) -> None:
    assert told("list", "--format", "json", store=tmp_path / "nowhere")["file"] == str(tmp_path / "nowhere")


def test_two_lines_remain_for_every_other_format(store: Path) -> None:
    for words in (
        ["show", "a/rum"],
        ["show", "a/rum", "--format", "tsv"],
        ["resume-cmd", "a/rum", "--", "--format", "json"],
    ):
        lines = ckptkit(*words, store=store).stderr.splitlines()
        assert lines[0].startswith("ckptkit: a/rum")
        assert len(lines) == 2


def test_a_secret_is_masked_there_too(store: Path) -> None:
    document = told("show", "sk-aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "--format", "json", store=store)
    assert "sk-aaaa" not in json.dumps(document)


def test_a_resume_command_says_where_it_resumes_and_what_it_skipped(store: Path) -> None:
    path = store / "a" / "run" / "step-00000003" / "rng" / "rng.json"
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    document = json.loads(ckptkit("resume-cmd", "a/run", "--format", "json", store=store).stdout)
    assert (document["run"], document["step"]) == ("a/run", 2)
    [skipped] = document["skipped"]
    assert skipped["ref"] == "a/run@3"
    assert "rng/rng.json" in skipped["reason"]


def test_nothing_that_pydantic_says_reaches_a_reader(store: Path) -> None:
    path = store / "a" / "run" / "step-00000003" / "manifest.json"
    text = path.read_text()
    for old, new in (('"step": 3', '"step": "x"'), ('"step": 3', '"step": 1.5'), ('"backend": ', '"back": ')):
        assert old in text
        path.write_text(text.replace(old, new, 1))
        message = told("show", "a/run@3", "--format", "json", store=store)["message"]
        for word in ("Input", "input should", "Field", "pydantic", "type="):
            assert word not in message
        assert "should be a whole number" in message or "is missing" in message
