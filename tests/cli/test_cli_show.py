"""`show`: a tree for people, what is in the files, what to type next; whatever is broken, the rest is shown."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import inside as ckptkit
from conftest import RESUME, write_rng

from ckptkit import CheckpointStore, Files

DIGEST = "blake3:"


def write_model(folder: Path, count: int = 3, name: str = "model.layers.{}.weight") -> Path:
    """Write a safetensors file, byte by byte, with ``count`` tensors of two by four numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    header: dict[str, Any] = {
        name.format(i): {"dtype": "F32", "shape": [2, 4], "data_offsets": [32 * i, 32 * i + 32]} for i in range(count)
    }
    text = json.dumps(header).encode()
    data = np.arange(8 * count, dtype="<f4").tobytes()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    (folder / "config.json").write_text("{}")
    return folder


def save(store: Path, run: str, step: int, folder: Path, **details: Any) -> Path:
    items = {"policy": Files(folder), "rng": Files(write_rng(folder.parent / "rng.json", step))}
    return CheckpointStore(store).save(run, step, items, **details).at.folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A store with ``m/run`` at the steps 1 and 2."""
    store = tmp_path / "store"
    for step in (1, 2):
        folder = write_model(tmp_path / "out", 20)
        save(store, "m/run", step, folder, metrics={"loss": 0.0053712345}, resume=RESUME, cwd="/")
    return store


def tree(*arguments: str, store: Path, width: int = 0) -> str:
    env = {"COLUMNS": str(width)} if width else {}
    done = ckptkit("show", *arguments, "--format", "table", store=store, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def document(ref: str, *, store: Path) -> dict[str, Any]:
    return dict(json.loads(ckptkit("show", ref, "--format", "json", store=store).stdout)["checkpoint"])


def test_show_lists_tensors_with_dtype_and_shape(models: Path) -> None:
    lines = tree("m/run", store=models).splitlines()
    assert lines[0].startswith("m/run@2  ")
    [line] = [line for line in lines if "model.layers.7.weight" in line]
    assert line.split()[-4:] == ["model.layers.7.weight", "float32", "[2,", "4]"]


def test_a_long_list_is_cut_with_a_count_and_verbose_shows_all(models: Path) -> None:
    text = tree("m/run", store=models)
    assert text.count("float32") == 10
    assert "... and 10 more; --verbose shows all" in text
    assert tree("m/run", "--verbose", store=models).count("float32") == 20


def test_digests_are_shown_under_verbose_alone(models: Path) -> None:
    assert DIGEST not in tree("m/run", store=models)
    text = tree("m/run", "--verbose", store=models)
    manifest = document("m/run", store=models)
    wanted = [manifest["digest"], *(f["digest"] for item in manifest["items"].values() for f in item["files"])]
    assert [digest for digest in wanted if digest not in text] == []


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_tree_fits_the_terminal_and_folds_no_number(width: int, models: Path) -> None:
    text = tree("m/run", store=models, width=width)
    body = text[text.index("\nitems\n") : text.index("\nnext\n")]
    assert max(map(len, body.splitlines())) <= width
    assert "loss=0.0053712345" in text
    assert body.count("[2, 4]") == 10


def test_names_that_do_not_fit_are_cut_in_the_middle(tmp_path: Path) -> None:
    folder = write_model(
        tmp_path / "out", 2, "a.name.that.is.much.longer.than.any.narrow.terminal.could.show.{}.weight"
    )
    save(tmp_path / "s", "r", 1, folder)
    text = tree("r", store=tmp_path / "s", width=60)
    assert "…" in text
    assert ".1.weight  float32  [2, 4]" in text


def test_what_to_type_next_can_be_typed(models: Path) -> None:
    text = tree("m/run@2", store=models)
    commands = [line.strip() for line in text.partition("\nnext\n")[2].splitlines()]
    assert [shlex.split(command)[3] for command in commands] == ["verify", "resume-cmd", "diff", "show"]
    for command in commands:
        done = ckptkit(*shlex.split(command)[1:])
        assert done.returncode == 0, (command, done.stderr)


def test_lineage_names_the_parent_and_what_went_on(tmp_path: Path) -> None:
    folder, store = write_model(tmp_path / "out"), tmp_path / "s"
    save(store, "first", 1, folder)
    save(store, "first", 2, folder, parent="first@1")
    save(store, "second", 2, folder, parent="first@1")
    assert document("first@1", store=store)["resumed_as"] == ["first@2", "second@2"]
    assert "resumed as   first@2, second@2" in tree("first@1", store=store)
    assert "parent       first@1" in tree("second@2", store=store)


def test_pins_tags_and_the_last_verification_are_shown(models: Path) -> None:
    assert ckptkit("pin", "m/run@2", store=models).returncode == 0
    assert ckptkit("tag", "m/run@2", "release", store=models).returncode == 0
    assert "pinned, release" in tree("m/run@2", store=models)
    shown = document("m/run@2", store=models)
    assert (shown["pinned"], shown["tags"], shown["content"]) == (True, ["release"], "verified")
    with (models / "m/run/step-00000002/rng/rng.json").open("a") as stream:
        stream.write(" ")
    assert document("m/run@2", store=models)["content"] == "unverified"


def test_json_keeps_its_fields_and_has_tensors(models: Path) -> None:
    shown = document("m/run@1", store=models)
    assert {"path", "manifest", "run", "step", "items", "captured", "shown", "evidence", "digest"} <= shown.keys()
    assert shown["tensors"][0] == {
        "item": "policy",
        "file": "policy/model.safetensors",
        "member": None,
        "name": "model.layers.0.weight",
        "dtype": "float32",
        "shape": [2, 4],
    }
    assert len(shown["tensors"]) == 20
    assert shown["unread"] == []


@pytest.mark.parametrize("damage", ["gone", "cut", "empty", "link", "folder"])
def test_a_file_that_cannot_be_read_says_why_and_the_rest_is_shown(damage: str, models: Path) -> None:
    file = models / "m/run/step-00000002/policy/model.safetensors"
    data = file.read_bytes()
    file.unlink()
    if damage == "cut":
        file.write_bytes(data[:-9])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "link":
        file.symlink_to(models / "m/run/step-00000001/policy/model.safetensors")
    elif damage == "folder":
        file.mkdir()
    text = tree("m/run@2", store=models)
    assert "cannot be read: " in text
    assert "rng.json" in text
    [unread] = document("m/run@2", store=models)["unread"]
    assert unread["file"] == "policy/model.safetensors"
    assert unread["reason"]
    assert ckptkit("show", "m/run@2", store=models).returncode == 0


def test_a_terminal_that_knows_no_lines_gets_others(models: Path) -> None:
    from command_line import ckptkit as in_a_process

    env = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "COLUMNS": "60"}
    done = in_a_process("show", "m/run", "--format", "table", store=models, env=env)
    assert done.returncode == 0, done.stderr
    assert "|-- " in done.stdout
    assert "\\u" not in done.stdout


def test_many_files_are_cut_with_a_count_and_a_broken_one_is_never_left_out(tmp_path: Path) -> None:
    folder, store = write_model(tmp_path / "out"), tmp_path / "s"
    for number in range(60):
        (folder / f"part{number:02}.json").write_text("{}")
    at = CheckpointStore(store).save("r", 1, {"x": Files(folder, backend="files")}).at.folder
    (at / "x/part47.json").unlink()
    text = tree("r", store=store)
    assert "... and 42 more files; --verbose shows all" in text
    assert "part47.json" in text
