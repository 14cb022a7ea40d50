"""`ckptkit config show` tells the value of every setting, and which option, variable or line says so."""

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import inside as ckptkit
from command_line import refused

TEXT = """\
store: ckpts
digest: sha256
resume: python train.py --token sk-aaaaaaaaaaaaaaaaaaaaaaaaaaaa --from {path}
retention:
  keep_last: 3
  keep_within: 36h
runs:
  "ppo/*":
    level: digest
    retention:
      max_size: 50GB
      keep_tags: [b, a]
  "ppo/x*":
    resume: [python, "train me.py", "{path}"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "ckptkit.yaml").write_text(TEXT)
    return tmp_path


def told(*words: str, cwd: Path, **how: Any) -> dict[str, tuple[Any, str, str | None, str | None]]:
    done = ckptkit("config", "show", *words, "--format", "json", cwd=cwd, **how)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema_version"] == "1.0"
    return {one["name"]: (one["value"], one["origin"], one["where"], one["pattern"]) for one in document["settings"]}


def test_without_a_file_all_is_default(tmp_path: Path) -> None:
    found = told(cwd=tmp_path, env={"CKPTKIT_CACHE": "", "HOME": str(tmp_path)})
    assert found["store"] == ("checkpoints", "default", None, None)
    assert found["digest"] == ("blake3", "default", None, None)
    assert found["level"] == ("format", "default", None, None)
    assert found["resume"] == (None, "default", None, None)
    assert found["retention"] == (None, "default", None, None)
    assert found["background"] == ("low", "default", None, None)
    assert found["cache"][1:] == ("default", None, None)


def test_each_key_names_its_line(project: Path) -> None:
    found, file = told(cwd=project), project / "ckptkit.yaml"
    assert found["store"] == (str(project / "ckpts"), "file", f"{file}:1", None)
    assert found["digest"] == ("sha256", "file", f"{file}:2", None)
    assert found["retention.keep_last"] == (3, "file", f"{file}:5", None)
    assert found["retention.keep_within"] == (36 * 3600.0, "file", f"{file}:6", None)


def test_a_run_names_the_pattern_that_says_each_key(project: Path) -> None:
    found, file = told("ppo/x1", cwd=project), project / "ckptkit.yaml"
    assert found["level"] == ("digest", "file", f"{file}:9", "ppo/*")
    assert found["retention.max_size"] == (50 * 10**9, "file", f"{file}:11", "ppo/*")
    assert found["retention.keep_tags"] == (["a", "b"], "file", f"{file}:12", "ppo/*")
    assert "retention.keep_last" not in found, "rules of two policies are never mixed"
    assert found["resume"] == (["python", "train me.py", "{path}"], "file", f"{file}:14", "ppo/x*")
    assert told("other", cwd=project)["level"] == ("format", "default", None, None)


def test_an_option_goes_before_a_variable_and_that_before_the_file(project: Path, store: Path) -> None:
    env = {"CKPTKIT_STORE": str(store)}
    assert told(cwd=project, env=env)["store"] == (str(store), "variable", "CKPTKIT_STORE", None)
    assert told("--store", "x", cwd=project, env=env)["store"] == ("x", "option", "--store", None)
    assert told(cwd=project, store=Path("y"))["store"] == ("y", "option", "--store", None)
    for words, expected in (([], 0), (["--store", "/nowhere"], 10)):  # as every command has it
        assert ckptkit("list", *words, cwd=project, env=env).returncode == expected


def test_the_cache_names_what_moves_or_stops_it(tmp_path: Path) -> None:
    assert told(cwd=tmp_path, env={"CKPTKIT_CACHE": "/c"})["cache"] == ("/c", "variable", "CKPTKIT_CACHE", None)
    assert told(cwd=tmp_path, env={"CKPTKIT_NO_CACHE": "1"})["cache"] == (None, "variable", "CKPTKIT_NO_CACHE", None)
    assert told("--no-cache", cwd=tmp_path)["cache"] == (None, "option", "--no-cache", None)


def test_people_get_values_as_they_would_write_them(project: Path) -> None:
    text = ckptkit("config", "show", "ppo/x1", "--format", "table", cwd=project, env={"COLUMNS": "200"}).stdout
    assert "python 'train me.py' '{path}'" in text
    assert "50.0 GB" in text
    assert "36h" in ckptkit("config", "show", cwd=project).stdout


def test_a_secret_in_a_template_is_masked(project: Path) -> None:
    for format_ in ("tsv", "json"):
        done = ckptkit("config", "show", "--format", format_, cwd=project)
        assert "sk-aaaa" not in done.stdout
        assert "--token ***" in done.stdout


def test_what_it_cannot_do_is_told(project: Path) -> None:
    refused(ckptkit("config", "set", cwd=project), 2, "'set'")
    refused(ckptkit("config", "show", "../x", cwd=project), 2, "'..'")
    refused(ckptkit("config", "show", "--store", "", cwd=project), 2, "--store is empty")
    (project / "ckptkit.yaml").write_text("stroe: x\n")
    refused(ckptkit("config", "show", cwd=project), 2, "line 1: stroe")
