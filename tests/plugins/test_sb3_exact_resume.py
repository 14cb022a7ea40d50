"""Training that was interrupted ends exactly as training that was not."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
from ckptkit_sb3 import CheckpointBoundary, checkpointable
from sb3_agents import AGENTS, BACKEND, TOTAL, Saves, Snapshots, common, go_on, load, load_context, save, train
from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common.vec_env import SubprocVecEnv

from ckptkit.backend import Proof, SavedItem

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.mark.parametrize("name", AGENTS)
def test_a_resumed_agent_ends_as_one_that_never_stopped(name: str, tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    expected = train(AGENTS[name](1), saves)
    folder, item = saves.made[0]
    assert item.captured.grade == "complete"
    assert go_on(load(folder, item, AGENTS[name](5))) == expected


@pytest.mark.parametrize("name", ["ppo normalized", "td3 ou", "sac", "dqn"])
def test_a_snapshot_resumes_as_a_save_does(name: str, tmp_path: Path) -> None:
    saves, snapshots = Saves(tmp_path / "saved"), Snapshots(tmp_path / "snapshots")
    expected = train(AGENTS[name](1), saves)
    assert train(AGENTS[name](1), snapshots) == expected
    snapshots.write()
    folder, item = snapshots.made[0]
    assert (item.captured, item.counters, item.boundary) == (
        saves.made[0][1].captured, saves.made[0][1].counters, saves.made[0][1].boundary,
    )  # fmt: skip
    assert item.probe == saves.made[0][1].probe
    assert go_on(load(folder, item, AGENTS[name](5))) == expected


@pytest.mark.parametrize("name", ["ppo normalized", "td3 ou"])
def test_saving_does_not_change_the_run(name: str, tmp_path: Path) -> None:
    never = AGENTS[name](1)
    never.learn(TOTAL)
    saves = Saves(tmp_path)
    saved = train(AGENTS[name](1), saves)
    assert len(saves.made) > 1
    assert dict(BACKEND.digests(never)) == saved


@pytest.mark.parametrize("name", ["ppo", "sac", "sac in warm-up"])
def test_an_agent_built_from_the_zip_goes_on_exactly_too(name: str, tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    expected = train(AGENTS[name](1), saves)
    assert go_on(load(*saves.made[0], AGENTS[name](5).env)) == expected


def test_learn_with_the_same_total_and_a_counter_reset_goes_on_exactly_too(tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    expected = train(AGENTS["sac"](1), saves)
    resumed = load(*saves.made[0], AGENTS["sac"](5))
    resumed.model.learn(TOTAL, callback=resumed.callback)
    assert dict(BACKEND.digests(resumed.model)) == expected


def test_an_agent_saved_between_two_calls_of_learn_goes_on_exactly(tmp_path: Path) -> None:
    agent = AGENTS["td3 ou"](1)
    agent.learn(60)
    item = save(agent, tmp_path)
    agent.learn(60, reset_num_timesteps=False)
    assert item.captured.grade == "complete"
    expected = dict(BACKEND.digests(agent))
    resumed = load(tmp_path, item, AGENTS["td3 ou"](5))
    resumed.model.learn(60, reset_num_timesteps=False, callback=resumed.callback)
    assert dict(BACKEND.digests(resumed.model)) == expected


def test_a_chain_of_saves_and_loads_stays_exact(tmp_path: Path) -> None:
    expected = train(AGENTS["dqn"](1), Saves(tmp_path / "a"))
    agent: Any = None
    folder, item = tmp_path, SavedItem()
    for link in range(4):
        callbacks: list[Any] = []
        if agent is not None:
            resumed = load(folder, item, AGENTS["dqn"](link + 2))
            callbacks.append(resumed.callback)
            agent = resumed.model
        else:
            agent = AGENTS["dqn"](1)
        saves = Saves(tmp_path / str(link))
        callbacks.append(CheckpointBoundary(saves, every_steps=25))
        agent.learn(TOTAL - agent.num_timesteps, reset_num_timesteps=False, callback=callbacks)
        folder, item = saves.made[0]
    assert dict(BACKEND.digests(agent)) == expected


def test_processes_of_a_subproc_vec_env_are_captured_through_the_wrapper(tmp_path: Path) -> None:
    made: list[Any] = []

    def agent(seed: int) -> Any:
        factory = checkpointable(lambda: gymnasium.make("CartPole-v1"))
        made.append(SubprocVecEnv([factory] * 2, start_method="fork"))
        return A2C("MlpPolicy", made[-1], **common(seed))

    saves = Saves(tmp_path)
    expected = train(agent(1), saves, total=60, every=30)
    assert saves.made[0][1].captured.grade == "complete"
    try:
        assert go_on(load(*saves.made[0], agent(5)), 60) == expected
    finally:
        for env in made:
            env.close()


CHILD = textwrap.dedent("""
    import sys, os, signal
    from pathlib import Path
    sys.path[:0] = [{here!r}]
    from sb3_agents import AGENTS, BACKEND, Saves, TOTAL, load_context
    from ckptkit.backend import SavedItem
    from ckptkit_sb3 import CheckpointBoundary
    name, root = sys.argv[1], Path(sys.argv[2])
    if sys.argv[3] == "die":
        saves = Saves(root)
        def save(model):
            saves(model)
            os.kill(os.getpid(), signal.SIGKILL)
        AGENTS[name](1).learn(TOTAL, callback=CheckpointBoundary(save, every_steps=50))
    else:
        item = SavedItem(metadata={{"captured": True}})
        resumed = BACKEND.load(root / "save-0", target=AGENTS[name](7), context=load_context(root / "save-0", item))
        agent = resumed.model
        agent.learn(TOTAL - agent.num_timesteps, reset_num_timesteps=False, callback=resumed.callback)
        for part, digest in sorted(BACKEND.digests(agent).items()):
            print(part, digest, sep="=")
""")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ppo normalized", "sac"])
def test_a_killed_run_resumed_in_a_new_process_ends_the_same(name: str, tmp_path: Path) -> None:
    program = CHILD.format(here=str(Path(__file__).parent))
    died = _python(program, name, str(tmp_path), "die")
    assert died.returncode == -signal.SIGKILL, died.stderr
    resumed = _python(program, name, str(tmp_path), "go on")
    assert resumed.returncode == 0, resumed.stderr
    found = dict(line.split("=", 1) for line in resumed.stdout.splitlines())
    assert found == train(AGENTS[name](1), Saves(tmp_path / "never stopped"))


def test_the_zip_stays_an_ordinary_sb3_zip(tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    agent = AGENTS["ppo"](1)
    train(agent, saves)
    loaded = PPO.load(saves.made[-1][0] / "model.zip")
    assert "collect_rollouts" not in vars(loaded)
    for name, value in agent.policy.state_dict().items():
        assert torch.equal(loaded.policy.state_dict()[name], value)


def test_only_filled_replay_rows_are_written(tmp_path: Path) -> None:
    agent = SAC("MlpPolicy", "Pendulum-v1", buffer_size=200_000, **common(0))
    agent.learn(10)
    save(agent, tmp_path)
    assert (tmp_path / "replay_buffer.npz").stat().st_size < 10_000


def test_a_constructor_argument_that_changed_is_kept_and_reported(tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    train(AGENTS["dqn"](1), saves)
    other = DQN("MlpPolicy", "CartPole-v1", learning_rate=0.5, buffer_size=110, policy_kwargs={"net_arch": [8]})
    resumed = load(*saves.made[0], _like(other))
    assert resumed.differences["learning_rate"] == (1e-4, 0.5)
    assert resumed.model.learning_rate == 0.5


def test_the_proof_of_a_fresh_save_replays_and_names_what_was_changed(tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    train(AGENTS["td3 ou"](1), saves)
    folder, item = saves.made[0]
    context = load_context(folder, item, model=lambda: AGENTS["td3 ou"](9))
    assert BACKEND.prove(folder, context=context).verdict == "same"
    assert item.probe is not None
    item.probe["digests"]["noise"] = "another"  # type: ignore[index]  # a plain dict, as save made it
    assert BACKEND.prove(folder, context=context) == Proof("differs", "differs in noise")


@pytest.mark.parametrize("name", ["ppo", "ppo normalized", "dqn"])
def test_an_agent_in_an_environment_of_gymnasium_is_proven_without_a_factory(tmp_path: Path, name: str) -> None:
    agent = AGENTS[name](1)
    agent.learn(32)
    item = save(agent, tmp_path)
    assert BACKEND.prove(tmp_path, context=load_context(tmp_path, item)).verdict == "same"


@pytest.mark.parametrize(
    "making", [None, 3, {"id": "os:system", "kwargs": {}}, {"id": [], "kwargs": {}}, {"id": "No-v1"}]
)
def test_an_environment_that_nobody_knows_is_not_built_from_a_name_in_a_file(tmp_path: Path, making: object) -> None:
    item = save(AGENTS["ppo"](1), tmp_path)
    assert item.probe is not None
    item.probe["environment"] = making  # type: ignore[index]  # a plain dict, as save made it
    proof = BACKEND.prove(tmp_path, context=load_context(tmp_path, item))
    assert proof.verdict == "unproven"
    assert "--factory ITEM.env=MODULE:FUNCTION" in (proof.reason or "")


def _like(agent: Any) -> Any:
    from sb3_agents import envs

    agent.set_env(envs("CartPole-v1"))
    return agent


def _python(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120, env=dict(os.environ)
    )
