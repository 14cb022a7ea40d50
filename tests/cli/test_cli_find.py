"""`find`: which checkpoints hold a file, a tensor or a digest."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import inside as ckptkit
from command_line import refused

from ckptkit import CheckpointStore, Files


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A store with ``a/run`` and ``b/run``, whose optimizers are the same file."""
    folder, store = tmp_path / "out", tmp_path / "store"
    folder.mkdir()
    np.savez(folder / "optimizer.npz", m=np.ones(3))
    for run, layers in (("a/run", 2), ("b/run", 3)):
        np.savez(folder / "model.npz", **{f"layers.{i}.w": np.ones((i + 1, 2), "f4") for i in range(layers)})
        CheckpointStore(store).save(run, 1, {"m": Files(folder, backend="files")})
    return store


def found(*arguments: str, store: Path, code: int = 0) -> list[dict[str, Any]]:
    done = ckptkit("find", *arguments, "--format", "json", store=store)
    assert done.returncode == code, done.stderr
    return list(json.loads(done.stdout)["found"])


@pytest.mark.parametrize("name", ["optimizer.npz", "optimizer*", "m/optimizer.npz", "m/opt*"])
def test_a_file_is_found_by_name_path_or_pattern(name: str, models: Path) -> None:
    assert [one["ref"] for one in found("--file", name, store=models)] == ["a/run@1", "b/run@1"]


def test_a_tensor_is_found_with_what_it_is(models: Path) -> None:
    [one] = found("--tensor", "layers.2.w", store=models)
    assert (one["ref"], one["file"]) == ("b/run@1", "m/model.npz")
    assert one["tensor"] == {"member": None, "name": "layers.2.w", "dtype": "float32", "shape": [3, 2]}
    assert len(found("--tensor", "layers.*", store=models)) == 5


def test_a_run_or_a_checkpoint_limits_the_search(models: Path) -> None:
    assert len(found("a/run", "--tensor", "layers.*", store=models)) == 2
    assert len(found("b/run@1", "--tensor", "layers.*", store=models)) == 3


def test_all_that_is_given_must_be_true(models: Path) -> None:
    assert found("--file", "opt*", "--tensor", "m", store=models)
    assert found("--file", "model*", "--tensor", "m", store=models, code=4) == []


def test_a_digest_is_found_by_its_beginning_with_or_without_the_algorithm(models: Path) -> None:
    digest = found("--file", "optimizer.npz", store=models)[0]["digest"]
    for word in (digest, digest[:16], digest.partition(":")[2][:10], digest.upper().replace("BLAKE3", "blake3")):
        assert [one["file"] for one in found("--digest", word, store=models)] == ["m/optimizer.npz"] * 2


def test_a_checkpoint_is_found_by_the_digest_of_its_manifest(models: Path) -> None:
    shown = json.loads(ckptkit("show", "a/run", "--format", "json", store=models).stdout)["checkpoint"]
    [one] = found("--digest", shown["digest"], store=models)
    assert (one["ref"], one["file"], one["item"]) == ("a/run@1", "manifest.json", None)


def test_nothing_found_is_exit_4(models: Path) -> None:
    done = ckptkit("find", "--file", "nothing", store=models)
    assert (done.returncode, done.stderr) == (4, "nothing found\n")


@pytest.mark.parametrize(
    ("arguments", "word"), [([], "nothing to look for"), (["--digest", "xyz"], "not the beginning of a digest")]
)
def test_a_search_that_makes_no_sense_is_refused(arguments: list[str], word: str, models: Path) -> None:
    refused(ckptkit("find", *arguments, store=models), 2, word)


def test_what_cannot_be_read_is_told_and_is_exit_1(models: Path) -> None:
    (models / "a/run/step-00000001/m/model.npz").write_bytes(b"PK\x03\x04 cut")
    done = ckptkit("find", "--tensor", "layers.0.w", store=models)
    assert done.returncode == 1
    assert "b/run@1" in done.stdout
    assert "a/run@1: m/model.npz: " in done.stderr
    (models / "b/run/step-00000001/manifest.json").write_text("{")
    assert "b/run@1: manifest.json: " in ckptkit("find", "--file", "x*", store=models).stderr


def test_a_table_names_what_was_found(models: Path) -> None:
    done = ckptkit("find", "--tensor", "layers.0.w", "--format", "table", store=models, env={"COLUMNS": "80"})
    assert done.stdout.splitlines()[1].split() == ["a/run@1", "m", "m/model.npz", "layers.0.w", "float32", "[1,", "2]"]
