"""What an installation cannot look into is not judged: no damage, no verdict, and a word of its own everywhere.

The checkpoints are written with the backend of ``examples/third_party_backend``, and read where it is not installed.
"""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import command_line
import pytest
from command_line import refused

from ckptkit import CheckpointStore
from ckptkit.manifest import reading

LIGHT = Path(__file__).parents[2] / ".venv-light" / "bin" / "python"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run ``a`` with steps 1 (generators only), 2 and 3 (an estimator too)."""
    import numpy as np
    from sklearn.linear_model import SGDClassifier

    root = tmp_path_factory.mktemp("strange") / "store"
    store = CheckpointStore(root)
    command = ["python", "train.py", "{run}@{step}"]
    store.save("a", 1, {"rng": np.random.default_rng(1)}, resume=command)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = SGDClassifier().partial_fit([[0.0], [1.0]], [0, 1], classes=[0, 1])
        for step in (2, 3):
            store.save("a", step, {"rng": np.random.default_rng(step), "model": model}, resume=command)
    return root


@pytest.fixture
def store(written: Path, tmp_path: Path) -> Path:
    if not LIGHT.exists():
        pytest.fail(f"{LIGHT} is missing: run `make setup` (it holds the core's own dependencies only)")
    return Path(shutil.copytree(written, tmp_path / "store"))


def light(*arguments: str | Path, store: Path) -> "command_line.subprocess.CompletedProcess[str]":
    return command_line.ckptkit(*arguments, store=store, program=[str(LIGHT), "-m", "ckptkit.cli.main"])


def test_verify_has_a_word_and_an_exit_code_for_it_and_says_what_was_checked(store: Path) -> None:
    done = light("verify", "--format", "json", store=store)
    assert done.returncode == 7
    report = json.loads(done.stdout)
    assert [c["result"] for c in report["checkpoints"]] == ["ok", "not-judged", "not-judged"]
    [problem] = report["checkpoints"][2]["problems"]
    assert (problem["code"], problem["severity"], problem["item"]) == ("backend-missing", "unjudged", "model")
    assert (
        "backend 'sklearn' is not installed here: install ckptkit-sklearn 0.1.0, which it came with"
        in problem["message"]
    )
    assert "size and digest of each file are as they were saved" in problem["message"]
    assert "nothing is damaged, 2 not judged" in done.stderr
    assert "not good" not in done.stderr


def change(store: Path, step: int, how: Callable[[dict[str, Any]], object]) -> None:
    path = store / "a" / f"step-{step:08}" / "manifest.json"
    fields = json.loads(path.read_text())
    del fields["digest"]
    how(fields)
    path.write_bytes(reading.sealed(fields, "blake3")[1])


def test_a_manifest_that_names_no_package_still_says_what_to_install(store: Path) -> None:
    change(store, 3, lambda fields: fields["environment"]["packages"].pop("ckptkit-sklearn"))
    refused(light("resume-cmd", "a", store=store), 7, "install the package that brings it")


def test_a_format_newer_than_the_backend_says_which_package_to_upgrade(store: Path) -> None:
    change(store, 1, lambda fields: fields["items"]["rng"].update(format_version=99))
    refused(light("resume-cmd", "a@1", store=store), 7, "written in format 99", "upgrade it")


def test_a_digest_that_differs_is_still_damage(store: Path) -> None:
    path = store / "a" / "step-00000003" / "model" / "estimator.skops"
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    done = light("verify", "--format", "json", store=store)
    assert done.returncode == 1
    assert [c["result"] for c in json.loads(done.stdout)["checkpoints"]] == ["ok", "not-judged", "damaged"]


def test_reports_for_continuous_integration_say_skipped_and_open_not_failed(store: Path) -> None:
    suites = ET.fromstring(light("verify", "--format", "junit", store=store).stdout)
    assert [(s.get("failures"), s.get("skipped")) for s in suites] == [("0", "0"), ("0", "1"), ("0", "1")]
    found = json.loads(light("verify", "--format", "sarif", store=store).stdout)["runs"][0]["results"]
    assert [(one["kind"], one["level"]) for one in found] == [("open", "none")] * 2
    lines = light("verify", "--format", "github", store=store).stdout.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::warning", "::warning", "::error"]
    assert {one["severity"] for one in json.loads(light("verify", "--format", "gitlab", store=store).stdout)} == {
        "major"
    }


def test_resume_cmd_never_falls_back_from_it_but_may_go_by_digests(store: Path) -> None:
    done = light("resume-cmd", "a", store=store)
    refused(done, 7, "a@3", "not judged")
    assert done.stdout == ""
    assert "--level digest" in done.stderr
    done = light("resume-cmd", "a", "--level", "digest", store=store)
    assert (done.returncode, done.stdout.endswith("python train.py a@3\n")) == (0, True)


@pytest.mark.parametrize("ref", ["a", "a@3"])
def test_restore_copies_it_by_digests_only_when_it_is_told_to(ref: str, store: Path, tmp_path: Path) -> None:
    refused(light("restore", ref, tmp_path / "out", store=store), 7, "not judged")
    assert not (tmp_path / "out").exists()
    assert light("restore", ref, tmp_path / "out", "--level", "digest", store=store).returncode == 0
    assert (tmp_path / "out" / "model" / "estimator.skops").is_file()


def test_prune_neither_counts_nor_removes_it(store: Path) -> None:
    done = light("prune", "--keep-last", "1", "--apply", "--format", "json", store=store)
    assert done.returncode == 3
    entries = json.loads(done.stdout)["checkpoints"]
    assert [(e["action"], e["judged"]) for e in entries] == [("keep", True), ("keep", False), ("keep", False)]
    assert entries[1]["reasons"] == ["not judged here"]
    assert "kept a@2: not judged: backend 'sklearn' is not installed here" in done.stderr


def test_prune_by_digests_counts_it(store: Path) -> None:
    done = light("prune", "--keep-last", "1", "--level", "digest", "--apply", store=store)
    assert done.returncode == 0
    assert [line.split("\t")[0] for line in done.stdout.splitlines()[1:]] == ["remove", "remove", "keep"]


def test_a_save_does_not_push_it_into_the_trash(store: Path, rng_file: Path) -> None:
    done = light("save", "a", "--step", "3", f"rng={rng_file}", store=store)
    refused(done, 6, "a@3", "cannot be judged here")


def test_a_training_that_begins_behind_it_is_stopped(store: Path) -> None:
    code = f"from ckptkit import CheckpointStore; CheckpointStore({str(store)!r}).prepare('a', after=1)"
    done = command_line.ckptkit("-c", code, program=[str(LIGHT)])
    assert "ConflictError" in done.stderr


def test_a_manifest_of_a_newer_version_is_not_pruned(store: Path) -> None:
    path = store / "a" / "step-00000002" / "manifest.json"
    path.write_text(path.read_text().replace('"schema_version": "1.1"', '"schema_version": "2.0"'))
    done = light("prune", "--keep-last", "1", "--format", "json", store=store)
    assert [e["action"] for e in json.loads(done.stdout)["checkpoints"]] == ["keep"] * 3
