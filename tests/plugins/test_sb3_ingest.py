"""Zips that a trainer wrote are adopted with what lies beside them, and graded by what they cannot hold."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from sb3_agents import AGENTS, BACKEND, envs, off
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import CheckpointCallback

from ckptkit import CheckpointStore
from ckptkit.backend import CheckContext, LoadContext, SavedItem
from ckptkit.errors import BackendError, DamagedError, InconsistentSetError, UnsafeContentError
from ckptkit.store import Files

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def describe(folder: Path, source: str) -> SavedItem:
    found = BACKEND.recognise(folder / source)
    assert found is not None
    return BACKEND.describe(folder, context=CheckContext(sorted(found), source=folder / source))


@pytest.fixture
def episode(tmp_path: Path) -> Path:
    """A folder as trainers draw it: ep000050.zip and ep000050_metadata.json."""
    agent = AGENTS["ppo"](0)
    agent.learn(32)
    agent.save(tmp_path / "ep000050.zip")
    noted = {"episode": 50, "run_id": "550e", "config": {"learning_rate": 3e-4}, "timestamp": "2024-01-01T12:00:00Z"}
    (tmp_path / "ep000050_metadata.json").write_text(json.dumps({**noted, "extra_state": {}}))
    return tmp_path


@pytest.mark.parametrize("backend", [None, "sb3"])
def test_a_zip_with_a_member_that_is_there_twice_is_refused_as_unsafe(episode: Path, backend: str | None) -> None:
    with zipfile.ZipFile(episode / "ep000050.zip", "a") as archive:
        archive.writestr("data", "{}")
    store = CheckpointStore(episode / "store")
    with pytest.raises(UnsafeContentError, match="'data': appears twice"):
        store.save("r", 50, {"agent": Files(episode / "ep000050.zip", backend)})


def test_a_bare_zip_is_weights_only_and_gives_its_counters(episode: Path) -> None:
    assert sorted(BACKEND.recognise(episode / "ep000050.zip") or ()) == ["ep000050.zip", "ep000050_metadata.json"]
    item = describe(episode, "ep000050.zip")
    assert item.counters == {"num_timesteps": 32, "episode": 50}
    assert item.captured.grade == "weights-only"
    assert item.metadata["config"] == {"learning_rate": 3e-4}
    assert item.step is None


def test_metadata_of_another_episode_is_refused(episode: Path) -> None:
    (episode / "ep000050_metadata.json").write_text('{"episode": 49}')
    with pytest.raises(BackendError, match="says episode 49, the file name 50"):
        describe(episode, "ep000050.zip")
    problems = BACKEND.check(episode, context=CheckContext(["ep000050.zip", "ep000050_metadata.json"]))
    assert [p.code for p in problems] == ["sb3-metadata"]


def test_metadata_that_is_not_json_is_refused(episode: Path) -> None:
    (episode / "ep000050_metadata.json").write_text("<html>")
    with pytest.raises(BackendError, match="not JSON"):
        describe(episode, "ep000050.zip")


def test_an_adopted_zip_puts_weights_and_counters_into_a_live_agent(episode: Path) -> None:
    item = describe(episode, "ep000050.zip")
    target = AGENTS["ppo"](9)
    files = ["ep000050.zip", "ep000050_metadata.json"]
    resumed: Any = BACKEND.load(episode, target=target, context=LoadContext(files, metadata=item.metadata))
    assert resumed.model is target
    assert target.num_timesteps == 32
    original = AGENTS["ppo"](0)
    original.learn(32)
    assert all(torch.equal(v, target.policy.state_dict()[k]) for k, v in original.policy.state_dict().items())
    target.learn(32, reset_num_timesteps=False, callback=resumed.callback)


def test_the_files_of_sb3s_checkpoint_callback_come_along(tmp_path: Path) -> None:
    callback = CheckpointCallback(20, str(tmp_path), save_replay_buffer=True, save_vecnormalize=True)
    SAC("MlpPolicy", envs("Pendulum-v1", norm=True), **off(0)).learn(40, callback=callback)
    found = BACKEND.recognise(tmp_path / "rl_model_40_steps.zip")
    assert sorted(found or ()) == [
        "rl_model_40_steps.zip",
        "rl_model_replay_buffer_40_steps.pkl",
        "rl_model_vecnormalize_40_steps.pkl",
    ]
    item = describe(tmp_path, "rl_model_40_steps.zip")
    assert item.counters["num_timesteps"] == 40
    problems = BACKEND.check(tmp_path, context=CheckContext(sorted(found or ()), metadata=item.metadata))
    assert [p for p in problems if p.severity == "unsafe"] == []


@pytest.mark.parametrize("name", ["text.zip", "missing.zip", "empty.zip"])
def test_other_files_are_not_recognised(name: str, tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("not a zip")
    (tmp_path / "empty.zip").write_bytes(b"PK\5\6" + bytes(18))
    assert BACKEND.recognise(tmp_path / name) is None


def test_a_truncated_zip_is_not_described(episode: Path) -> None:
    path = episode / "ep000050.zip"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DamagedError, match=r"ep000050\.zip: is cut short"):
        BACKEND.describe(episode, context=CheckContext(["ep000050.zip"]))
    assert list(BACKEND.check(episode, context=CheckContext(["ep000050.zip"])))


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    """What CheckpointCallback leaves: two zips, each with its replay buffer."""
    keep = CheckpointCallback(4, str(tmp_path), save_replay_buffer=True)
    SAC("MlpPolicy", "Pendulum-v1", buffer_size=16, learning_starts=2, policy_kwargs={"net_arch": [4]}).learn(8, keep)
    return tmp_path


def test_the_steps_in_the_name_of_a_callbacks_zip_are_its_step(steps: Path) -> None:
    assert describe(steps, "rl_model_8_steps.zip").step == 8


def test_a_callbacks_zip_under_the_name_of_other_steps_is_refused(steps: Path) -> None:
    (steps / "rl_model_4_steps.zip").rename(steps / "rl_model_8_steps.zip")
    with pytest.raises(InconsistentSetError, match="its num_timesteps is 4, its name says 8"):
        describe(steps, "rl_model_8_steps.zip")


def test_a_callbacks_newest_zip_without_the_buffer_that_the_one_before_has_is_refused(steps: Path) -> None:
    (steps / "rl_model_replay_buffer_8_steps.pkl").unlink()
    with pytest.raises(DamagedError, match="no replay_buffer beside it"):
        describe(steps, "rl_model_8_steps.zip")


def test_an_older_zip_whose_buffer_was_removed_is_adopted_without_it(steps: Path) -> None:
    (steps / "rl_model_replay_buffer_4_steps.pkl").unlink()
    assert any(
        reason.startswith("no replay buffer") for reason in describe(steps, "rl_model_4_steps.zip").captured.reasons
    )
