"""State beside an adopted zip, under flat names among those of other checkpoints, makes it as exact as in a folder."""

import json
from pathlib import Path

import pytest
from sb3_agents import AGENTS, BACKEND

from ckptkit import CheckpointStore
from ckptkit.backend import CheckContext, SaveContext
from ckptkit.errors import BackendError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """A run's folder with the flat files of one agent, saved after 128 steps."""
    agent = AGENTS["ppo"](0)
    agent.learn(128)
    (tmp_path / "staged").mkdir()
    (tmp_path / "run").mkdir()
    saved = BACKEND.save(agent, tmp_path / "staged", context=SaveContext(step=0, probe=False))
    for path in (tmp_path / "staged").iterdir():
        path.rename(tmp_path / "run" / ("ep000050.zip" if path.suffix == ".zip" else f"ep000050_{path.name}"))
    episode = saved.counters.get("episode", 50)
    assert episode == 50 or "episode" not in saved.counters
    (tmp_path / "run/ep000050_metadata.json").write_text(json.dumps({"episode": episode, "run_id": "550e"}))
    return tmp_path / "run"


def adopted(folder: Path) -> CheckpointStore:
    store = CheckpointStore(folder.parent)
    zip_file = folder / "ep000050.zip"
    store.adopt_in_place("run", "ep000050", {"agent": [zip_file, *sorted(folder.glob("ep000050_*"))]})
    return store


def test_it_is_exact_and_training_goes_on_as_if_nothing_had_been(flat: Path) -> None:
    store = adopted(flat)
    assert [listed.summary.grade for listed in store.list() if listed.summary] == ["complete"]
    agent = AGENTS["ppo"](1)
    store.restore("run@50", into={"agent": agent}).items["agent"].learn(256)
    resumed = BACKEND.digests(agent)
    whole = AGENTS["ppo"](0)  # only now: random generators are the process's
    whole.learn(128)
    whole.learn(128, reset_num_timesteps=False)
    assert resumed == BACKEND.digests(whole)


def test_what_the_backend_said_at_the_save_makes_flat_files_provable(tmp_path: Path) -> None:
    agent, store = AGENTS["ppo"](0), CheckpointStore(tmp_path)
    with store.staged("run") as staged:
        saved = BACKEND.save(agent, staged, context=SaveContext(step=0))
        for path in sorted(staged.iterdir()):
            path.rename(tmp_path / "run" / ("ep000000.zip" if path.suffix == ".zip" else f"ep000000_{path.name}"))
    files = [tmp_path / "run/ep000000.zip", *sorted((tmp_path / "run").glob("ep000000_*"))]
    manifest = store.adopt_in_place("run", "ep000000", {"agent": files}, saved={"agent": saved}).manifest
    assert (manifest.items["agent"].probe, manifest.items["agent"].hazards) == (saved.probe, saved.hazards)
    (report,) = store.verify("run", level="resume").checkpoints
    assert report.proofs["agent"].verdict == "same"


def test_recognise_finds_the_state_beside_the_zip(flat: Path) -> None:
    found = BACKEND.recognise(flat / "ep000050.zip")
    assert found is not None
    assert {"ep000050.zip", "ep000050_state.json", "ep000050_metadata.json"} <= set(found)


def test_damage_in_the_state_is_found_under_its_own_name(flat: Path) -> None:
    state = flat / "ep000050_state.json"
    state.write_bytes(state.read_bytes()[:-50])
    context = CheckContext(["ep000050.zip"], {"zip": "ep000050.zip", "captured": True})
    assert [(p.code, p.file) for p in BACKEND.check(flat, context=context)] == [("sb3-state", state.name)]
    state.unlink()
    assert [(p.code, p.file) for p in BACKEND.check(flat, context=context)] == [("file-missing", state.name)]


def test_metadata_of_another_episode_is_refused_beside_a_state_too(flat: Path) -> None:
    (flat / "ep000050_metadata.json").write_text('{"episode": 49}')
    with pytest.raises(BackendError, match="says episode 49, the file name 50"):
        adopted(flat)
