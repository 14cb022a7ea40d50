"""State beside an SB3 algorithm: settings that training changes, modules, callbacks; what is told of the rest."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ckptkit_sb3 import CheckpointBoundary
from sb3_agents import BACKEND, Saves, load, load_context
from sb3_model_cases import CASES, RUN, Each, Own, Rising, Unsayable, annealed, evaluated, extracted, ppo, setting
from stable_baselines3.common import callbacks as sb3

from ckptkit import CheckpointStore
from ckptkit.backend import Captured, SavedItem
from ckptkit.store.rehearsal import rehearse

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

GENERATOR = "cannot save callback 0: Unsayable.lines (builtins.generator)"
LAMBDA = "cannot save lr_schedule, which training has replaced with code (builtins.function)"
DIFFERS = ["d: a global, in a callback", "d: a global, in a policy", "e: a generator object"]
"""What cannot be captured: named in the grade, or only shown by a rehearsal."""
REASONS = {"e: a generator object": [GENERATOR], "a: lr_schedule replaced by a lambda": [LAMBDA]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run every case without a break, killed and resumed, each in a process of its own."""
    program = str(Path(__file__).with_name("sb3_model_cases.py"))
    command = [sys.executable, "-W", "ignore", program, str(tmp_path_factory.mktemp("cases"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return {found["case"]: found for found in map(json.loads, done.stdout.splitlines())}


def saved(model: Any, place: Path, *callbacks: Any) -> tuple[Path, SavedItem]:
    """Train two rollouts and return the save from the middle of the second."""
    saves = Saves(place)
    model.learn(64, callback=[CheckpointBoundary(saves, every_steps=40), *callbacks])
    return saves.made[0]


@pytest.mark.matrix
@pytest.mark.parametrize("name", CASES)
def test_a_killed_and_resumed_training_ends_as_one_that_never_stopped(name: str, runs: dict[str, Any]) -> None:
    found = runs[name]
    assert len(found["straight"]) == 12, found
    assert found["killed"] == "ended by -9" or name == "e: StopTrainingOnMaxEpisodes"
    assert found["equal"] is (name not in DIFFERS), found
    if name in REASONS:
        assert found["captured"] == {"grade": "partial", "reasons": REASONS[name]}


@pytest.mark.matrix
@pytest.mark.parametrize("name", DIFFERS)
def test_what_cannot_be_captured_is_caught_by_a_rehearsal(name: str, tmp_path: Path) -> None:
    program = str(Path(__file__).with_name("sb3_model_cases.py"))
    command = [sys.executable, "-W", "ignore", program, "--one", name, str(tmp_path / "store"), "400"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    store = CheckpointStore(tmp_path / "store")
    done = rehearse(store.storage, store.choose(f"{RUN}@48"), steps=8)
    assert done.proof.verdict == "differs", done
    assert (done.proof.steps, done.runs) == (240, 1)  # environment steps, in eight rollouts
    assert "step 64: " in str(done.proof.reason)


@pytest.mark.matrix
def test_what_is_captured_is_shown_by_a_rehearsal_and_the_best_model_stays_as_it_was(tmp_path: Path) -> None:
    name = "e: EvalCallback that writes"
    program = str(Path(__file__).with_name("sb3_model_cases.py"))
    command = [sys.executable, "-W", "ignore", program, "--one", name, str(tmp_path / "store"), "400"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "files").rglob("*") if path.is_file()}
    assert {path.name for path in written} == {"best_model.zip", "evaluations.npz", "monitor.csv"}
    store = CheckpointStore(tmp_path / "store")
    done = rehearse(store.storage, store.choose(f"{RUN}@48"), steps=8)
    assert (done.proof.verdict, done.proof.steps) == ("same", 240), done
    assert written == {path: path.stat().st_mtime_ns for path in (tmp_path / "files").rglob("*") if path.is_file()}


def test_what_the_program_gives_decides_where_training_left_it_alone_and_is_told(tmp_path: Path, caplog: Any) -> None:
    folder, item = saved(ppo(), tmp_path)
    resumed = load(folder, item, ppo(ent_coef=0.5))
    assert resumed.model.ent_coef == 0.5
    assert resumed.told == ["ent_coef: this program sets 0.5, the saved one 0.0; this program's is used"]
    assert resumed.differences["ent_coef"] == (0.0, 0.5)
    assert resumed.told[0] in caplog.text


def test_what_training_changed_is_put_back_and_another_start_is_told(tmp_path: Path) -> None:
    folder, item = saved(ppo(), tmp_path, Each(setting("ent_coef", 0.25), at=20))
    assert load(folder, item, ppo()).told == []
    resumed = load(folder, item, ppo(ent_coef=0.5))
    assert resumed.model.ent_coef == 0.25
    assert resumed.told == [
        "ent_coef: this program sets 0.5, the saved one set 0.0, which training changed to 0.25; that is put back"
    ]
    assert resumed.differences["ent_coef"] == (0.0, 0.5)


def test_a_second_resume_still_knows_what_training_changed(tmp_path: Path) -> None:
    folder, item = saved(ppo(), tmp_path / "first", Each(setting("ent_coef", 0.25), at=20))
    resumed, again = load(folder, item, ppo()), Saves(tmp_path / "second")
    resumed.learn(96, callback=CheckpointBoundary(again, every_steps=64))
    assert load(*again.made[0], ppo()).model.ent_coef == 0.25


def test_a_callback_keeps_what_the_program_gives_now_and_goes_on_counting(tmp_path: Path) -> None:
    folder, item = saved(ppo(), tmp_path, evaluated())
    resumed, evaluation = load(folder, item, ppo()), evaluated()
    evaluation.eval_freq = 1000
    counts: list[int] = []
    look = Each(lambda _: counts.append(evaluation.n_calls))
    resumed.learn(64, callback=[evaluation, look])
    assert counts[0] == item.counters["num_timesteps"] + 1
    assert resumed.told == ["EvalCallback.eval_freq: this program sets 1000, the saved one 20; this program's is used"]


def test_callbacks_that_are_not_there_any_more_are_told_and_nothing_is_refused(tmp_path: Path) -> None:
    folder, item = saved(ppo(), tmp_path, Own(), sb3.StopTrainingOnMaxEpisodes(50))
    resumed = load(folder, item, ppo())
    resumed.learn(64, callback=[Each(annealed), sb3.StopTrainingOnMaxEpisodes(50)])
    assert resumed.told == [f"callback 0: there is no {Own.__module__}.Own here; its state is not put back"]


def test_a_callback_that_holds_what_cannot_be_said_is_named(tmp_path: Path) -> None:
    _, item = saved(ppo(), tmp_path, Unsayable())
    assert item.captured == Captured("partial", [GENERATOR])


def test_a_schedule_of_code_that_training_put_in_is_held_at_its_value(tmp_path: Path) -> None:
    folder, item = saved(ppo(), tmp_path, Each(setting("clip_range", lambda _: 0.05), at=20))
    assert item.captured == Captured(
        "partial", ["cannot save clip_range, which training has replaced with code (builtins.function)"]
    )
    assert load(folder, item, ppo()).model.clip_range(1.0) == 0.05


def test_a_long_list_of_numbers_comes_back_as_it_was(tmp_path: Path) -> None:
    callback = Own()
    callback.seen = [i / 7 for i in range(5000)]
    callback.table = {"count": 0, "names": list(range(300)), "mixed": [*range(300), None]}
    folder, item = saved(ppo(), tmp_path, callback)
    resumed, again, first = load(folder, item, ppo()), Own(), []
    resumed.learn(64, callback=[again, Each(lambda _: first.append(json.dumps([again.seen[:-1], again.table])))])
    assert item.captured == Captured()
    table = {"count": 41, "names": list(range(300)), "mixed": [*range(300), None]}
    assert json.loads(first[0]) == [callback.seen[:5040], table]


@pytest.mark.parametrize("kind", ["counter", "buffer", "torch generator", "deque"])
def test_saving_does_not_disturb_what_a_policy_keeps(kind: str, tmp_path: Path) -> None:
    never = extracted(kind)
    never.learn(96)
    expected = BACKEND.digests(never)
    always = extracted(kind)
    always.learn(96, callback=CheckpointBoundary(Saves(tmp_path), every_steps=10))
    found = BACKEND.digests(always)
    assert {part: found[part] for part in expected} == expected


def test_the_proof_sees_a_generator_of_a_module_that_was_not_put_back(tmp_path: Path) -> None:
    folder, item = saved(extracted("torch generator"), tmp_path)
    state = json.loads((folder / "state.json").read_bytes())
    del state["sections"]["modules"]["attributes"]["policy.features_extractor.generator"]
    (folder / "state.json").write_text(json.dumps(state))
    context = load_context(folder, item, model=lambda: extracted("torch generator"))
    assert BACKEND.prove(folder, context=context).reason == "differs in attributes of modules"


def test_an_attribute_of_another_structure_is_told_and_nothing_is_refused(tmp_path: Path) -> None:
    agent = extracted("dropout")
    agent.policy.features_extractor.extra = Rising()
    folder, item = saved(agent, tmp_path)
    assert item.captured == Captured()
    other = extracted("dropout")
    other.policy.features_extractor.extra = None
    assert load(folder, item, other).told == [
        "policy.features_extractor.extra: the target holds a builtins.NoneType instead of "
        f"{Rising.__module__}.Rising; what was saved is not put back"
    ]
