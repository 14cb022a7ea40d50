"""Hugging Face Trainer: what its folders tell, whole, cut, half deleted and hostile."""

import json
import math
import os
import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from looked_at import judged, told

NAME = "checkpoint-500"
FILES = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", "config.json")
_EMPTY_ZIP = b"PK\5\6" + bytes(18)
STATE = {
    "epoch": 1.6,
    "global_step": 500,
    "log_history": [
        {"epoch": 0.3, "step": 100, "loss": 0.9, "learning_rate": 1e-4},
        {"epoch": 1.5, "step": 480, "loss": 0.4},
        {"epoch": 1.5, "step": 480, "eval_loss": 0.5, "eval_accuracy": 0.75, "eval_runtime": 3.2},
        {"epoch": 1.7, "step": 520, "loss": 0.1},
    ],
}


def checkpoint(folder: Path, state: Any = STATE, files: tuple[str, ...] = FILES) -> Path:
    place = folder / NAME
    place.mkdir()
    for file in files:
        (place / file).write_bytes(_EMPTY_ZIP if file == "training_args.bin" else b"\0")
    if state is not None:
        (place / "trainer_state.json").write_bytes(state if isinstance(state, bytes) else json.dumps(state).encode())
    return place


def test_its_state_tells_step_epochs_and_the_last_values_logged_up_to_it(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    assert judged(tmp_path, NAME).state == "complete"
    one = told(tmp_path, NAME)
    assert (one.step, one.step_from, one.counters) == (500, "global_step in trainer_state.json", {"epoch": 1})
    assert one.metrics == {"loss": 0.4, "eval_loss": 0.5, "eval_accuracy": 0.75}
    assert one.doubts == ()


@pytest.mark.parametrize(
    ("metric", "greater", "best"),
    [
        ("accuracy", True, ("eval_accuracy", "max")),
        ("eval_loss", False, ("eval_loss", "min")),
        (None, None, None),
        ("accuracy", None, None),
    ],
)
def test_its_arguments_tell_which_is_the_best(
    tmp_path: Path, metric: str | None, greater: bool | None, best: tuple[str, str] | None
) -> None:
    place = checkpoint(tmp_path)
    arguments = SimpleNamespace(metric_for_best_model=metric, greater_is_better=greater)
    with zipfile.ZipFile(place / "training_args.bin", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(arguments, protocol=2))
    assert told(tmp_path, NAME).best == best


def test_a_name_of_another_step_is_a_doubt_and_the_state_counts(tmp_path: Path) -> None:
    checkpoint(tmp_path, {**STATE, "global_step": 400})
    one = told(tmp_path, NAME)
    assert (one.step, one.doubts) == (400, ("global_step in trainer_state.json is 400, its name says 500",))


@pytest.mark.parametrize(
    "state", [None, b"", b"\0" * 300, json.dumps(STATE).encode()[:-20], b"[" * 100_000, b"[]", b"{}"]
)
def test_a_state_that_is_not_whole_is_of_an_incomplete_one(tmp_path: Path, state: bytes | None) -> None:
    checkpoint(tmp_path, state)
    found = judged(tmp_path, NAME)
    assert (found.state, len(found.reasons)) == ("incomplete", 1)
    assert "trainer_state.json" in found.reasons[0]
    assert told(tmp_path, NAME).step == 500


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_link_or_folder_in_place_of_the_state_is_no_mark(tmp_path: Path, kind: str) -> None:
    state = checkpoint(tmp_path, None) / "trainer_state.json"
    if kind == "folder":
        state.mkdir()
    else:
        (tmp_path / "real.json").write_text(json.dumps(STATE))
        state.symlink_to(tmp_path / "real.json")
    assert judged(tmp_path, NAME).reasons == (f"trainer_state.json is a {kind}, and the Trainer writes it last",)
    assert told(tmp_path, NAME).doubts == (f"trainer_state.json is a {kind}",)


def test_a_pipe_in_place_of_the_state_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(checkpoint(tmp_path, None) / "trainer_state.json")
    assert judged(tmp_path, NAME).reasons == (
        "trainer_state.json is not a regular file, and the Trainer writes it last",
    )


def test_a_state_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    state = checkpoint(tmp_path, b"{") / "trainer_state.json"
    with state.open("r+b") as stream:
        stream.truncate(1 << 30)
    assert judged(tmp_path, NAME).state == "unknown"
    assert told(tmp_path, NAME).doubts == (
        "trainer_state.json has 1073741824 bytes, of which at most 67108864 are read",
    )


@pytest.mark.parametrize("step", [True, -1, 1e30, "500", [500], 10**13, 1.5])
def test_what_is_no_step_is_of_an_incomplete_one_and_a_doubt(tmp_path: Path, step: object) -> None:
    checkpoint(tmp_path, {**STATE, "global_step": step})
    assert judged(tmp_path, NAME).state == "incomplete"
    one = told(tmp_path, NAME)
    assert (one.step, one.step_from) == (500, "its name")
    assert one.doubts[0].endswith("which is no step")


@pytest.mark.parametrize("gone", ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_half_of_it_deleted_makes_it_incomplete(tmp_path: Path, gone: str) -> None:
    checkpoint(tmp_path, files=tuple(file for file in FILES if file != gone))
    assert judged(tmp_path, NAME).state == "incomplete"


@pytest.mark.parametrize(
    "files",
    [
        ("model.safetensors",),
        ("adapter_model.safetensors", *FILES[1:]),
        ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state_0.pth", "rng_state_1.pth"),
    ],
    ids=["model only", "adapter", "two processes"],
)
def test_other_whole_sets_are_complete(tmp_path: Path, files: tuple[str, ...]) -> None:
    checkpoint(tmp_path, files=files)
    assert judged(tmp_path, NAME).state == "complete"


@pytest.mark.parametrize("gone", ["training_args.bin", "config.json"])
def test_it_lacks_what_the_one_before_has(tmp_path: Path, gone: str) -> None:
    (checkpoint(tmp_path) / gone).unlink()
    assert judged(tmp_path, NAME).state == "complete"
    (tmp_path / "checkpoint-90").mkdir()
    (tmp_path / "checkpoint-90" / gone).touch()
    assert judged(tmp_path, NAME).reasons == (f"no {gone} is in it, though checkpoint-90 has one",)


@pytest.mark.parametrize("content", [b"P", b"", _EMPTY_ZIP[:-1]])
def test_cut_arguments_are_of_an_incomplete_one(tmp_path: Path, content: bytes) -> None:
    (checkpoint(tmp_path) / "training_args.bin").write_bytes(content)
    assert judged(tmp_path, NAME).state == "incomplete"


def test_every_shard_that_the_index_names_must_be_there(tmp_path: Path) -> None:
    shards = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    place = checkpoint(tmp_path, files=(*shards, *FILES[1:]))
    (place / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shards[0], "b": shards[1]}}))
    assert judged(tmp_path, NAME).state == "complete"
    (place / shards[1]).unlink()
    assert judged(tmp_path, NAME).reasons == (
        "model-00002-of-00002.safetensors, which model.safetensors.index.json names, is not there",
    )
    (place / "model.safetensors.index.json").write_text("{")
    assert judged(tmp_path, NAME).state == "incomplete"


def test_metrics_that_are_no_numbers_are_left_out_and_nan_stays(tmp_path: Path) -> None:
    entry = {
        "step": 1,
        "loss": math.nan,
        "note": "x",
        "yes": True,
        "huge": 10**400,
        "a\x1b[31m": 1.0,
        "eval_loss": math.inf,
    }
    checkpoint(tmp_path, {**STATE, "log_history": [entry, 7, {"step": "x", "loss": 2.0}], "epoch": math.nan})
    one = told(tmp_path, NAME)
    assert set(one.metrics) == {"loss", "eval_loss"}
    assert math.isnan(one.metrics["loss"])
    assert one.counters == {}
