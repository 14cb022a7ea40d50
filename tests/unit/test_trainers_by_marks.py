"""Trainers that mark what is finished beside a checkpoint or in it: LeRobot, DeepSpeed, Orbax, DCP, accelerate."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
from looked_at import judged, states, told

ALWAYS = (
    *("pretrained_model/config.json", "pretrained_model/train_config.json", "pretrained_model/model.safetensors"),
    *("training_state/rng_state.safetensors", "training_state/optimizer_state.safetensors"),
)
STEP = "training_state/training_step.json"


def put(path: Path, content: bytes = b"{}") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def lerobot(folder: Path, *steps: int, last: str | None = None) -> None:
    for step in steps:
        for name in ALWAYS:
            put(folder / f"{step:06d}" / name)
        put(folder / f"{step:06d}" / STEP, json.dumps({"step": step}).encode())
    if last is not None:
        (folder / "last").symlink_to(last)


def test_lerobot_has_not_finished_what_is_newer_than_last(tmp_path: Path) -> None:
    lerobot(tmp_path, 1000, 2000, 3000, last="002000")
    assert states(tmp_path) == {"001000": "complete", "002000": "complete", "003000": "incomplete"}
    assert judged(tmp_path, "003000").reasons == (
        "last still points at 2000: LeRobot moves it when a checkpoint is finished",
    )
    one = told(tmp_path, "002000")
    assert (one.step, one.step_from, one.doubts) == (2000, f"step in {STEP}", ())


def test_a_last_that_points_at_what_was_removed_still_tells(tmp_path: Path) -> None:
    lerobot(tmp_path, 1000, 3000, last=f"{tmp_path}/002000")
    assert states(tmp_path) == {"001000": "complete", "003000": "incomplete"}


def test_a_last_that_became_a_folder_tells_by_the_step_in_it(tmp_path: Path) -> None:
    lerobot(tmp_path, 1000, 2000)
    put(tmp_path / "last" / STEP, b'{"step": 1000}')
    assert states(tmp_path) == {"001000": "complete", "002000": "incomplete"}


@pytest.mark.parametrize("last", [None, "nowhere", "../elsewhere", "last", "\u0661", "9" * 30])
def test_without_a_last_that_names_a_step_nothing_is_known(tmp_path: Path, last: str | None) -> None:
    lerobot(tmp_path, 1000, last=last)
    assert states(tmp_path) == {"001000": "unknown"}


@pytest.mark.parametrize("gone", [*ALWAYS[:4], STEP])
def test_a_lerobot_folder_that_lacks_what_each_has_is_incomplete(tmp_path: Path, gone: str) -> None:
    lerobot(tmp_path, 1000, last="001000")
    (tmp_path / "001000" / gone).unlink()
    assert states(tmp_path) == {"001000": "incomplete"}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]"])
def test_a_cut_step_of_lerobot_is_incomplete_and_a_doubt(tmp_path: Path, content: bytes) -> None:
    lerobot(tmp_path, 1000, last="001000")
    put(tmp_path / "001000" / STEP, content)
    assert states(tmp_path) == {"001000": "incomplete"}
    assert (told(tmp_path, "001000").step, len(told(tmp_path, "001000").doubts)) == (1000, 1)


def torch_zip(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
    return path


def deepspeed(folder: Path, *tags: str) -> None:
    for tag in tags:
        torch_zip(folder / tag / "mp_rank_00_model_states.pt", {"global_steps": 100, "module": {}})


@pytest.mark.parametrize(
    ("latest", "expected"),
    [
        (b"global_step200\n", ["complete", "complete", "incomplete"]),
        (b"", ["unknown"] * 3),
        (b"best", ["unknown"] * 3),
        (b"x" * 5000, ["unknown"] * 3),
        (None, ["unknown"] * 3),
    ],
)
def test_deepspeed_has_finished_what_latest_names_and_what_is_older(
    tmp_path: Path, latest: bytes | None, expected: list[str]
) -> None:
    deepspeed(tmp_path, "global_step100", "global_step200", "global_step300")
    if latest is not None:
        put(tmp_path / "latest", latest)
    assert list(states(tmp_path).values()) == expected


def test_deepspeed_tells_its_steps_and_a_tag_of_another_is_a_doubt(tmp_path: Path) -> None:
    deepspeed(tmp_path, "global_step100", "global_step200", "best")
    assert (told(tmp_path, "global_step100").step, told(tmp_path, "best").step) == (100, 100)
    assert told(tmp_path, "global_step200").doubts == (
        "global_steps in mp_rank_00_model_states.pt is 100, its name says 200",
    )


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ({"commit_success.txt": b"Checkpoint commit was successful to /x"}, "complete"),
        ({"commit_success.txt": b"Checkpoint commit"}, "incomplete"),
        ({"commit_success.txt": b"", "_CHECKPOINT_METADATA": b"{}"}, "incomplete"),
        ({"_CHECKPOINT_METADATA": b'{"init_timestamp_nsecs": 1, "commit_timestamp_nsecs": 2}'}, "complete"),
        ({"_CHECKPOINT_METADATA": b'{"init_timestamp_nsecs": 1, "commit_timestamp_nsecs": null}'}, "incomplete"),
        ({"_CHECKPOINT_METADATA": b'{"init_tim'}, "incomplete"),
        ({"orbax.checkpoint": b""}, "unknown"),
        ({"commit_success.txt": b"yes", "state.orbax-checkpoint-tmp/d/x": b"1"}, "incomplete"),
    ],
)
def test_orbax_marks_what_it_committed(tmp_path: Path, files: dict[str, bytes], state: str) -> None:
    for name, content in files.items():
        put(tmp_path / "10" / name, content)
    assert states(tmp_path) == {"10": state}


def test_orbax_tells_the_step_of_the_name_and_the_metrics_it_was_given(tmp_path: Path) -> None:
    put(tmp_path / "run_10" / "commit_success.txt", b"yes")
    put(tmp_path / "run_10" / "metrics" / "metrics", b'{"loss": 0.5, "name": "x"}')
    one = told(tmp_path, "run_10")
    assert (one.step, one.metrics, one.doubts) == (10, {"loss": 0.5}, ())
    put(tmp_path / "run_10" / "metrics" / "metrics", b"{")
    assert told(tmp_path, "run_10").doubts == ("metrics: metrics is cut short, or no JSON",)
    put(tmp_path / "20.orbax-checkpoint-tmp-17" / "commit_success.txt", b"yes")
    assert judged(tmp_path, "20.orbax-checkpoint-tmp-17").state == "incomplete"


def accelerate(folder: Path, *own: int, name: str = "checkpoint_0", updates: int = 8) -> Path:
    place = folder / name
    put(place / "model.safetensors")
    torch_zip(place / "optimizer.bin", {"state": {0: {"step": updates}, 1: {"step": 2}, 2: 7, 3: {"step": "x"}}})
    torch_zip(place / "random_states_0.pkl", {"step": 0})
    for number in own:
        torch_zip(place / f"custom_checkpoint_{number}.pkl", {})
    return place


def test_accelerate_tells_the_step_of_the_name_else_the_updates_of_the_optimizer(tmp_path: Path) -> None:
    for name in ("checkpoint_1", "step_500", "epoch_2"):
        accelerate(tmp_path, name=name)
    assert (told(tmp_path, "step_500").step, told(tmp_path, "step_500").step_from) == (500, "its name")
    one = told(tmp_path, "checkpoint_1")
    assert (one.step, one.step_from, one.counters) == (8, "the updates in optimizer.bin", {})
    assert told(tmp_path, "epoch_2").counters == {"epoch": 2}
    (tmp_path / "checkpoint_1" / "optimizer.bin").write_bytes(b"x")
    assert told(tmp_path, "checkpoint_1").step_from == "the number in its name, which may count something else"


def test_accelerate_is_finished_when_all_is_there_that_the_one_before_has(tmp_path: Path) -> None:
    accelerate(tmp_path, 0, 1, name="checkpoint_9")
    place = accelerate(tmp_path, 0, name="checkpoint_10")
    assert judged(tmp_path, "checkpoint_9").state == "complete"
    assert judged(tmp_path, "checkpoint_10").reasons == (
        "no custom_checkpoint_1.pkl is in it, though checkpoint_9 has one",
    )
    torch_zip(place / "custom_checkpoint_1.pkl", {})
    assert judged(tmp_path, "checkpoint_10").state == "complete"
    for file in ("custom_checkpoint_1.pkl", "random_states_0.pkl"):
        (place / file).write_bytes((place / file).read_bytes()[:-30])
        assert judged(tmp_path, "checkpoint_10").reasons == (f"{file} is cut short: a zip's directory is written last",)
        torch_zip(place / file, {})


@pytest.mark.parametrize(
    "gone",
    ["optimizer.bin", "scheduler.bin", "scaler.pt", "random_states_1.pkl", "dl_state_dict.bin", "model_1.safetensors"],
)
def test_accelerate_lacks_what_the_save_before_has_and_only_that(tmp_path: Path, gone: str) -> None:
    first, second = (accelerate(tmp_path, name=name) for name in ("step_100", "step_200"))
    (second / gone).unlink(missing_ok=True)
    (first / gone).unlink(missing_ok=True)
    assert states(tmp_path) == {"step_100": "complete", "step_200": "complete"}
    put(first / gone)
    assert judged(tmp_path, "step_200").reasons == (f"no {gone} is in it, though step_100 has one",)
    assert judged(tmp_path, "step_100").state == "complete"


@pytest.mark.parametrize(
    ("weights", "state"),
    [
        ("model.safetensors", "complete"),
        ("pytorch_model.bin", "complete"),
        ("pytorch_model/mp_rank_00_model_states.pt", "complete"),
        ("pytorch_model_fsdp_0/.metadata", "complete"),
        ("unet/diffusion_pytorch_model.safetensors", "complete"),
        ("pytorch_lora_weights.safetensors", "complete"),
        ("model.safetensors.index.json", "incomplete"),
        ("notes.txt", "incomplete"),
    ],
)
def test_accelerate_is_not_whole_without_its_weights(tmp_path: Path, weights: str, state: str) -> None:
    place = accelerate(tmp_path)
    (place / "model.safetensors").unlink()
    put(place / weights)
    assert states(tmp_path) == {"checkpoint_0": state}


def test_dcp_is_finished_when_its_metadata_names_only_what_is_there(tmp_path: Path) -> None:
    put(tmp_path / "step-5" / "__0_0.distcp")
    assert judged(tmp_path, "step-5").reasons == ("no .metadata is in it, which is written last",)
    put(tmp_path / "step-5" / ".metadata", b"\x80\x02}q")
    assert judged(tmp_path, "step-5").reasons == (".metadata cannot be read",)
    assert told(tmp_path, "step-5").step == 5
