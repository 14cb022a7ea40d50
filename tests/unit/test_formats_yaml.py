"""Tags in YAML files are calls for the unsafe loader: each is found, however it is written, and honest ones pass."""

import argparse
import collections
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ckptkit.formats.kinds import look_into_file
from ckptkit.problem import Problem

COMMAND = "['touch canary']"

RUNS = {
    "short": f"a: !!python/object/apply:os.system {COMMAND}\n",
    "deep in honest settings": f"a: 1\nb:\n  - c: {{d: [1, !!python/object/apply:os.system {COMMAND}]}}\n",
    "verbatim": f"!<tag:yaml.org,2002:python/object/apply:os.system> {COMMAND}\n",
    "a TAG line": f"%TAG !p! tag:yaml.org,2002:python/\n---\n!p!object/apply:os.system {COMMAND}\n",
    "a TAG line for !": f"%TAG ! tag:yaml.org,2002:python/\n---\n!object/apply:os.system {COMMAND}\n",
    "escaped": f"!!p%79thon/object/apply:os.%73ystem {COMMAND}\n",
    "object/new": f"!!python/object/new:os.system {COMMAND}\n",
    "object": "!!python/object:subprocess.Popen {args: id}\n",
    "a name": "hook: !!python/name:os.system\n",
    "a name of builtins": "hook: !!python/name:eval\n",
    "a dotted name": "!!python/object/apply:torch.hub.load [a, b]\n",
    "a module": "m: !!python/module:antigravity\n",
    "the second document": f"a: 1\n---\n!!python/object/apply:os.system {COMMAND}\n",
    "a key": f"? !!python/object/apply:os.system {COMMAND}\n: 1\n",
    "before damage": f"- !!python/object/apply:os.system {COMMAND}\n- [\n",
    "behind damage": f"- a: b: c\n- !!python/object/apply:os.system {COMMAND}\n",
}


def check(folder: Path, data: str | bytes, name: str = "config.yml") -> list[Problem]:
    (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return look_into_file(folder / name, file=name)


@pytest.mark.parametrize("name", RUNS)
def test_a_tag_that_would_run_something_is_unsafe(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    problems = check(tmp_path, RUNS[name])
    assert ("yaml-dangerous", "unsafe") in {(p.code, p.severity) for p in problems}
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_tag_in_another_encoding_is_unsafe(encoding: str, tmp_path: Path) -> None:
    assert [p.code for p in check(tmp_path, RUNS["short"].encode(encoding))] == ["yaml-dangerous"]


@pytest.mark.parametrize("name", ["config.yaml", "CONFIG.YML", "deep.name.yml"])
def test_it_is_yaml_by_its_name(name: str, tmp_path: Path) -> None:
    assert [p.code for p in check(tmp_path, RUNS["short"], name)] == ["yaml-dangerous"]


def test_a_yaml_file_in_a_zip_is_looked_into(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "run.zip", "w") as archive:
        archive.writestr("args/config.yml", RUNS["short"])
    (problem,) = look_into_file(tmp_path / "run.zip", file="run.zip")
    assert (problem.code, problem.message[:16]) == ("yaml-dangerous", "args/config.yml:")


def test_the_message_names_the_function(tmp_path: Path) -> None:
    (problem,) = check(tmp_path, RUNS["short"])
    assert problem.message == "would call os.system when it is loaded with yaml's unsafe loader"


def test_a_very_long_file_is_searched_and_not_parsed(tmp_path: Path) -> None:
    filler = ("# " + "x" * 98 + "\n") * 200_000
    assert {p.code for p in check(tmp_path, filler + RUNS["short"])} == {"yaml-dangerous", "not-looked-into"}
    assert {p.code for p in check(tmp_path, filler + RUNS["escaped"])} == {"not-looked-into"}


@pytest.mark.parametrize("text", ["a: b: c!\n", "\x00!"])
def test_what_cannot_be_parsed_and_may_hold_tags_is_told(text: str, tmp_path: Path) -> None:
    assert [(p.code, p.severity) for p in check(tmp_path, text)] == [("not-looked-into", "warning")]


HONEST: dict[str, Any] = {
    "rl-zoo's settings": collections.OrderedDict(batch_size=64, policy="MlpPolicy", normalize=True),
    "Lightning's namespace": argparse.Namespace(rate=0.1, layers=(1, 2)),
    "numbers of NumPy": {"a": np.float64(0.5), "b": np.arange(3)},
    "tuples, sets and complex numbers": {"a": (1, 2), "b": {3}, "c": 1j},
    "paths": {"a": Path("data")},
}


@pytest.mark.parametrize("name", HONEST)
def test_what_trainers_dump_gives_no_finding(name: str, tmp_path: Path) -> None:
    text = yaml.dump(HONEST[name])
    assert "!!" in text
    assert check(tmp_path, text) == []


@pytest.mark.parametrize("text", ["a: 1\n", "a: hello!\n", "a: !mine {b: 1}\n", "a: !!str 1\n", "- [\n", "", "!"])
def test_what_is_not_pythons_is_no_finding(text: str, tmp_path: Path) -> None:
    assert check(tmp_path, text) == []


def test_a_class_that_nobody_listed_is_a_warning(tmp_path: Path) -> None:
    (problem,) = check(tmp_path, "!!python/object:my.settings.Config {a: 1}\n")
    assert (problem.code, problem.severity) == ("yaml-unrecognised", "warning")
