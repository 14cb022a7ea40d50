"""Stable-Baselines3's zips and what lies beside them: what they tell, whole, cut and hostile."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from looked_at import judged, states, told


def agent(folder: Path, step: int, *beside: str, data: Any = None) -> Path:
    path = folder / f"rl_model_{step}_steps.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", json.dumps({"num_timesteps": step, "_episode_num": 3} if data is None else data))
        archive.writestr("policy.pth", b"\0" * 2_000)
    for kind in beside:
        (folder / f"rl_model_{kind}_{step}_steps.pkl").write_bytes(pickle.dumps(list(range(100))))
    return path


def test_the_zip_tells_timesteps_and_episodes(tmp_path: Path) -> None:
    agent(tmp_path, 100, "replay_buffer", "vecnormalize")
    assert judged(tmp_path, "rl_model_100_steps.zip").state == "complete"
    one = told(tmp_path, "rl_model_100_steps.zip")
    assert (one.step, one.step_from, one.counters) == (100, "num_timesteps in it", {"episode": 3})


def test_one_that_lacks_what_an_earlier_one_has_is_incomplete_and_older_ones_may_be_stripped(tmp_path: Path) -> None:
    agent(tmp_path, 100)
    agent(tmp_path, 200, "replay_buffer")
    agent(tmp_path, 300)
    assert list(states(tmp_path).values()) == ["complete", "complete", "incomplete"]
    assert judged(tmp_path, "rl_model_300_steps.zip").reasons == (
        "no replay_buffer lies beside it, though the zip of 200 steps has one, written after the zip",
    )


@pytest.mark.parametrize("kind", ["zip", "replay_buffer", "vecnormalize"])
@pytest.mark.parametrize("left", [0, 0.25])
def test_any_file_cut_short_makes_it_incomplete(tmp_path: Path, kind: str, left: float) -> None:
    path = agent(tmp_path, 100, "replay_buffer", "vecnormalize")
    cut = path if kind == "zip" else tmp_path / f"rl_model_{kind}_100_steps.pkl"
    cut.write_bytes(cut.read_bytes()[: int(cut.stat().st_size * left)])
    found = judged(tmp_path, path.name)
    assert (found.state, len(found.reasons)) == ("incomplete", 1)
    assert cut.name in found.reasons[0]


def test_the_evaluation_at_its_step_gives_the_mean_reward(tmp_path: Path) -> None:
    for step in (100, 200):
        agent(tmp_path, step)
    (tmp_path / "results").mkdir()
    results = np.array([[1.0, 2.0], [3.0, 5.0]], dtype=np.float32)
    np.savez(tmp_path / "results" / "evaluations.npz", timesteps=np.array([50, 200]), results=results)
    assert told(tmp_path, "rl_model_100_steps.zip").metrics == {}
    one = told(tmp_path, "rl_model_200_steps.zip")
    assert (one.metrics, one.best) == ({"eval/mean_reward": 4.0}, ("eval/mean_reward", "max"))


def test_the_evaluations_of_the_folder_around_the_agents_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    agent(tmp_path / "agents", 200)
    np.savez(tmp_path / "evaluations.npz", timesteps=[200], results=[[4.0]])
    assert told(tmp_path / "agents", "rl_model_200_steps.zip").metrics == {"eval/mean_reward": 4.0}


@pytest.mark.parametrize("content", [b"", b"PK", pickle.dumps(3)])
def test_evaluations_that_cannot_be_read_are_a_doubt(tmp_path: Path, content: bytes) -> None:
    agent(tmp_path, 200)
    (tmp_path / "evaluations.npz").write_bytes(content)
    one = told(tmp_path, "rl_model_200_steps.zip")
    assert (one.step, one.metrics, len(one.doubts)) == (200, {}, 1)


def test_arrays_of_objects_and_of_no_rows_are_not_read(tmp_path: Path) -> None:
    agent(tmp_path, 200)
    ragged = np.array([[1.0], [1.0, 2.0]], dtype=object)
    np.savez(tmp_path / "evaluations.npz", timesteps=[100, 200], results=ragged)
    assert "Python objects" in told(tmp_path, "rl_model_200_steps.zip").doubts[0]
    np.savez(tmp_path / "evaluations.npz", timesteps=np.zeros((2, 0)), results=np.zeros((2, 0)))
    assert told(tmp_path, "rl_model_200_steps.zip").metrics == {}


@pytest.mark.parametrize("data", [[], {}, {"num_timesteps": -1}, {"num_timesteps": True}, {"num_timesteps": 1e30}])
def test_data_without_a_step_leaves_the_one_in_the_name(tmp_path: Path, data: Any) -> None:
    agent(tmp_path, 200, data=data)
    one = told(tmp_path, "rl_model_200_steps.zip")
    assert (one.step, one.step_from) == (200, "its name")
    assert bool(one.doubts) == (data != {})


def test_a_name_of_another_step_is_a_doubt(tmp_path: Path) -> None:
    agent(tmp_path, 200, data={"num_timesteps": 150})
    one = told(tmp_path, "rl_model_200_steps.zip")
    assert (one.step, one.doubts) == (150, ("num_timesteps in it is 150, its name says 200",))
