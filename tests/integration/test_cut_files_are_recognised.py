"""A file that was cut short is told as a damaged one of its kind, also where nobody named the backend."""

import json
import os
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import torch
from command_line import inside, refused

from ckptkit import CheckpointStore
from ckptkit.formats.kinds import look_into_file

PARTS = [0.1, 0.3, 0.5, 0.9, 0.99]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as SB3, NumPy, this library and TensorFlow write them."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf
    from stable_baselines3 import SAC

    folder = tmp_path_factory.mktemp("whole")
    SAC("MlpPolicy", "Pendulum-v1", buffer_size=8, policy_kwargs={"net_arch": [4]}).save(folder / "best.zip")
    (folder / "dumped.json").write_text(json.dumps(np.random.default_rng(1).bit_generator.state))
    CheckpointStore(folder / "store").save("run", 1, {"rng": {"a": np.random.default_rng(1)}})
    next((folder / "store").rglob("rng.json")).rename(folder / "rng.json")
    tf.train.Checkpoint(step=tf.Variable(7)).write(str(folder / "ckpt-7"))
    return folder


def save(path: Path) -> CompletedProcess[str]:
    return inside("save", "run", "--step", "1", f"a={path}", store=path.parent / "store")


def cut(whole: Path, name: str, part: float, folder: Path) -> Path:
    data = (whole / name).read_bytes()
    (folder / Path(name).name).write_bytes(data[: int(len(data) * part)])
    return folder / Path(name).name


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(("name", "said"), [("best.zip", "is cut short"), ("ckpt-7.index", "cut short")])
def test_a_cut_agent_and_a_cut_index_are_damaged(
    name: str, said: str, part: float, whole: Path, tmp_path: Path
) -> None:
    path = cut(whole, name, part, tmp_path)
    if name.endswith(".index"):
        for shard in whole.glob("ckpt-7.data-*"):
            (tmp_path / shard.name).write_bytes(shard.read_bytes())
    refused(save(path), 1, path.name, said)


@pytest.mark.parametrize("part", PARTS[1:])
@pytest.mark.parametrize("name", ["dumped.json", "rng.json"])
def test_a_cut_file_of_generators_is_damaged(name: str, part: float, whole: Path, tmp_path: Path) -> None:
    refused(save(cut(whole, name, part, tmp_path)), 1, f"{name}: is not JSON")


def test_whole_ones_and_other_files_that_begin_alike_are_taken_for_what_they_are(whole: Path, tmp_path: Path) -> None:
    import zipfile

    for name in ("best.zip", "dumped.json", "rng.json", "ckpt-7.index"):
        done = inside("save", "run", "--step", "1", f"a={whole / name}", store=tmp_path / name)
        assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("data", "no agent")
    (tmp_path / "log.json").write_text('{"loss": NaN, "rng": {"bit_generator": "PCG64"}}')
    (tmp_path / "search.index").write_bytes(b"no table")
    for name in ("other.zip", "log.json", "search.index"):
        refused(save(tmp_path / name), 7, "no installed backend recognises it")


def test_an_empty_zip_with_the_name_that_sb3s_callback_gives_is_an_empty_agent(tmp_path: Path) -> None:
    (tmp_path / "rl_model_100_steps.zip").touch()
    refused(save(tmp_path / "rl_model_100_steps.zip"), 1, "is empty")


@pytest.mark.parametrize("part", [0, 0.5, 0.8])
def test_of_a_cut_file_that_nobody_recognises_it_is_said_that_it_looks_damaged(
    part: float, whole: Path, tmp_path: Path
) -> None:
    torch.save({"w": torch.ones(64)}, tmp_path / "whole.pt")
    path = tmp_path / "half.pt"
    path.write_bytes((tmp_path / "whole.pt").read_bytes()[: int(part * (tmp_path / "whole.pt").stat().st_size)])
    refused(save(path), 7, "no installed backend recognises it; it looks damaged (is ", "; looked for ")
    refused(save(tmp_path / "whole.pt"), 7, "no installed backend recognises it; looked for ")


@pytest.mark.parametrize("part", [0.2, 0.5, 0.7, 0.9, 0.99])
def test_a_cut_zip_that_holds_whole_zips_is_said_to_be_cut(part: float, whole: Path, tmp_path: Path) -> None:
    path = cut(whole, "best.zip", part, tmp_path)
    [problem] = [p for p in look_into_file(path, file=path.name) if p.severity == "error"][:1]
    assert "cut short" in problem.message or "truncated" in problem.message
    assert "behind it" not in problem.message
