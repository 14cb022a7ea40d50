"""The SB3 trainer: killed, resumed by the printed command, and ending where an uninterrupted run ends."""

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
import yaml
from sb3_example import EXAMPLE, SMALL, run
from stable_baselines3 import PPO
from training.checkpoints import list_checkpoints, load_checkpoint
from training.config import MODES, ConfigMismatchError, combined, read_yaml
from training.run import Event
from training.trainer import arguments, train

from ckptkit import CheckpointStore
from ckptkit.errors import ConflictError, InconsistentSetError, UsageError

CKPTKIT = Path(sys.executable).with_name("ckptkit")
DQN: dict[str, Any] = {
    "algorithm": "dqn",
    "total_timesteps": 600,
    "checkpoint_interval_episodes": 8,
    "agent_kwargs": {"learning_starts": 100, "buffer_size": 2000},
}
KILLER = """\
import os, runpy, signal, sys
event, mark = sys.argv[1:3]
def hook(name, args):
    if name == event and any(str(a).endswith(mark) for a in args):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
sys.argv = sys.argv[3:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a program and kills it at the first audit event of which an argument ends in a word."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The store and the digest of a run that was never interrupted; all its checkpoints are there."""
    folder = tmp_path_factory.mktemp("whole") / "checkpoints"
    return folder, run(folder, "whole", {**SMALL, "keep_last_n_checkpoints": 99})


@pytest.fixture
def copied(whole: tuple[Path, str], tmp_path: Path) -> Path:
    """The same store, to be damaged."""
    subprocess.run(["cp", "-r", whole[0], tmp_path / "checkpoints"], check=True)
    return tmp_path / "checkpoints"


def ckptkit(store: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line."""
    return subprocess.run([CKPTKIT, "--store", store, *words], capture_output=True, text=True, timeout=120)


def episodes(store: Path, run_id: str) -> list[int]:
    """Return the episodes of a run's checkpoints."""
    return [int(path.stem[2:]) for path in list_checkpoints(store, run_id=run_id, agent_id="ppo_agent")]


def killed_at(event: str, mark: str, words: list[str]) -> None:
    """Run a program, which gets killed with SIGKILL."""
    command = [sys.executable, "-c", KILLER, event, mark, *words]
    done = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.slow
def test_a_run_killed_twice_in_a_save_and_resumed_as_printed_ends_as_if_nothing_had_been(
    whole: tuple[Path, str], tmp_path: Path
) -> None:
    store, config = tmp_path / "checkpoints", tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({**SMALL, "checkpoint_dir": str(store)}))

    # Killed when all files of a save but the zip were in place.
    killed_at("os.rename", "ep000020.zip", ["training/trainer.py", "--config", str(config), "--run-id", "run123"])
    folder = store / "ppo_agent/run123"
    assert (folder / "ep000020_metadata.json").exists()
    assert episodes(store, "run123") == [10]
    assert ckptkit(store, "verify", "ppo_agent/run123").returncode == 0

    # Killed when the zip was in place too, but nothing was committed.
    line = ckptkit(store, "resume-cmd", "ppo_agent/run123", "--", "--run-id", "second").stdout.strip()
    assert f"training/trainer.py --resume-from-checkpoint {folder / 'ep000010.zip'}" in line
    killed_at("os.link", "ep000030.manifest.json", shlex.split(line.rpartition("&& ")[2])[1:])
    assert (store / "ppo_agent/second/ep000030.zip").exists()
    assert episodes(store, "second") == [20]
    assert ckptkit(store, "verify").returncode == 0

    line = ckptkit(store, "resume-cmd", "ppo_agent/second").stdout.strip()
    done = subprocess.run(line, shell=True, cwd=EXAMPLE, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"digest {whole[1]}"
    third = next(p for p in (store / "ppo_agent").iterdir() if p.name not in ("run123", "second"))
    manifest = json.loads(next(third.glob("*.manifest.json")).read_text())
    assert manifest["parent"] == {"run": "ppo_agent/second", "step": 20}


ANYWHERE = """\
import os, shutil, signal, sys, torch
from pathlib import Path
from ckptkit import CheckpointStore
from ckptkit_sb3 import CheckpointBoundary
from training.trainer import train
from ckptkit_hooks.sb3_episodes import EpisodeCheckpoints

torch.set_num_threads(1)
base, store = Path(sys.argv[1], "base"), Path(sys.argv[1], "store")
small = {"total_timesteps": 64, "agent_kwargs": {"n_steps": 64, "n_epochs": 1}, "keep_last_n_checkpoints": 1}
fields = {**small, "checkpoint_dir": str(base), "run_id": "run1"}
run, model = train(fields)
model.learn(64, reset_num_timesteps=False, callback=CheckpointBoundary(lambda model: None))
kinds = {"os.rename", "os.link", "os.mkdir", "os.remove", "shutil.rmtree", "open"}
for count in range(1, 1000):
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(base, store)
    pid = os.fork()
    if pid == 0:
        here = EpisodeCheckpoints(CheckpointStore(store), "ppo_agent/run1", config=fields, keep_last_n=1)
        def hook(name, args):
            global count
            reads = name == "open" and not args[2] & (os.O_WRONLY | os.O_RDWR)
            if name in kinds and str(store) in str(args) and not reads:
                count -= 1
                if count == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        here.save(model)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    report = CheckpointStore(store).verify()
    print("killed", *(f"{c.at.step}{'' if c.good else 'DAMAGED'}" for c in report.checkpoints))
    if not os.WIFSIGNALED(status):
        sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Kills a save, and the removal of the older checkpoint after it, at every file that is written, moved or removed."""


def test_killed_anywhere_in_a_save_what_is_listed_verifies(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ANYWHERE, tmp_path], cwd=EXAMPLE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("killed")]
    assert len(lines) > 20
    old, new = lines[0][0], lines[-1][-1]
    assert {tuple(steps) for steps in lines} == {(old,), (old, new), (new,)}


def test_resuming_from_any_checkpoint_ends_the_same(whole: tuple[Path, str], tmp_path: Path) -> None:
    store, expected = whole
    for path in list_checkpoints(store, "whole", "ppo_agent")[::2]:
        assert run(tmp_path, path.stem, {"resume_from_checkpoint": str(path)}) == expected, path


def test_an_agent_with_a_replay_buffer_goes_on_exactly(tmp_path: Path) -> None:
    expected = run(tmp_path, "whole", DQN)
    path = list_checkpoints(tmp_path, "whole", "dqn_agent")[0]
    assert path.with_name(f"{path.stem}_replay_buffer.npz").exists()
    assert run(tmp_path, "resumed", {"resume_from_checkpoint": str(path)}) == expected


def test_several_environments_go_on_exactly(tmp_path: Path) -> None:
    fields = {**SMALL, "n_envs": 3, "agent_kwargs": {"n_steps": 64, "n_epochs": 2}}
    expected = run(tmp_path, "whole", fields)
    path = list_checkpoints(tmp_path, "whole", "ppo_agent")[0]
    assert run(tmp_path, "resumed", {"resume_from_checkpoint": str(path)}) == expected


def test_the_files_are_as_drawn_and_the_zip_is_an_ordinary_one(whole: tuple[Path, str]) -> None:
    folder = whole[0] / "ppo_agent/whole"
    assert {p.name for p in folder.glob("ep000010*")} == {
        "ep000010.zip",
        "ep000010_metadata.json",
        "ep000010_state.json",
        "ep000010_rollout_buffer.npz",
        "ep000010.manifest.json",
        "ep000010.observed.json",
    }
    metadata = json.loads((folder / "ep000010_metadata.json").read_text())
    assert list(metadata) == ["episode", "run_id", "config", "timestamp", "extra_state"]
    assert (metadata["episode"], metadata["run_id"]) == (10, "whole")
    assert metadata["config"]["learning_rate"] == 0.0003
    assert PPO.load(folder / "ep000010.zip").num_timesteps == metadata["extra_state"]["num_timesteps"]


def test_a_checkpoint_is_taken_when_its_episode_ends_inside_the_rollout(whole: tuple[Path, str]) -> None:
    listed = next(iter(CheckpointStore(whole[0]).verify("ppo_agent/whole@10").checkpoints))
    manifest = listed.manifest
    assert manifest is not None
    assert manifest.boundary is not None
    assert (manifest.boundary.kind, manifest.boundary.requested_at) == ("episode", manifest.boundary.saved_at)
    assert manifest.items["agent"].counters == {"episode": 10, "num_timesteps": manifest.boundary.saved_at}


def test_checkpoints_are_listed_by_episode(whole: tuple[Path, str]) -> None:
    found = list_checkpoints(checkpoint_dir=str(whole[0]), run_id="whole", agent_id="ppo_agent")
    assert [p.name for p in found][:3] == ["ep000010.zip", "ep000020.zip", "ep000030.zip"]
    assert all(p.is_file() for p in found)
    assert list_checkpoints(whole[0], run_id="nobody", agent_id="ppo_agent") == []


def test_a_checkpoint_loads_with_its_configuration_and_the_given_environment(whole: tuple[Path, str]) -> None:
    env = gymnasium.make("CartPole-v1")
    path = list_checkpoints(whole[0], "whole", "ppo_agent")[1]
    model, config, extra = load_checkpoint(str(path), env=env)
    assert model.num_timesteps == extra["num_timesteps"]
    assert model.env.envs[0].unwrapped is env.unwrapped
    assert (config.total_timesteps, extra["episode"], extra["run_id"]) == (900, 20, "whole")


def test_the_command_line_manages_the_folder_in_place(copied: Path) -> None:
    assert "ppo_agent/whole\t10\t" in ckptkit(copied, "list").stdout
    assert "boundary" in ckptkit(copied, "show", "ppo_agent/whole@10").stdout
    assert ckptkit(copied, "prune", "ppo_agent/whole", "--keep-last", "1", "--apply").returncode == 0
    assert len(episodes(copied, "whole")) == 1
    assert not (copied / "ppo_agent/whole/ep000010_state.json").exists()
    assert ckptkit(copied, "undelete", "ppo_agent/whole@10").returncode == 0
    assert episodes(copied, "whole")[0] == 10
    assert ckptkit(copied, "verify", "ppo_agent/whole").returncode == 0


@pytest.mark.slow
def test_a_resume_is_proven_by_replay_and_by_a_rehearsal_that_writes_nothing_for_real(copied: Path) -> None:
    def files() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in copied.rglob("*") if p.is_file() and not p.name.endswith("shown.json")}

    before = files()
    done = ckptkit(copied, "verify", "ppo_agent/whole@10", "--level", "resume", "--steps", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = (line.split("\t")[-1] for line in done.stdout.splitlines()[1:])
    assert first == "replayed 1 action on a fixed observation, the same"
    assert second.endswith(" steps as the run itself did them, the same")
    assert files() == before
    assert "complete, rehearsed" in ckptkit(copied, "list", "ppo_agent/whole").stdout


def test_the_last_n_are_kept_and_listeners_hear_of_each_save_and_removal(tmp_path: Path) -> None:
    heard: list[Event] = []
    run(tmp_path, "run1", {**SMALL, "keep_last_n_checkpoints": 2}, listeners=[heard.append])
    saved = [e.episode for e in heard if e.kind == "saved"]
    assert episodes(tmp_path, "run1") == saved[-2:]
    assert [e.episode for e in heard if e.kind == "pruned"] == saved[:-2]
    assert [e.kind for e in heard[:4]] == ["saved", "saved", "saved", "pruned"]
    assert (heard[0].run.name, heard[0].path) == ("ppo_agent/run1", tmp_path / "ppo_agent/run1/ep000010.zip")


def test_the_trash_is_emptied_after_its_hours(tmp_path: Path) -> None:
    run(tmp_path, "run1", {**SMALL, "keep_last_n_checkpoints": 1, "trash_hours": 0})
    assert len(list((tmp_path / "ppo_agent/run1/.ckptkit/trash").iterdir())) == 1  # of the last removal


def test_damaged_checkpoints_do_not_count_among_the_last_n(tmp_path: Path) -> None:
    def damage(event: Event) -> None:
        if event.kind == "saved" and event.episode > 10:
            event.path.write_bytes(event.path.read_bytes()[:-100])

    run(tmp_path, "run1", {**SMALL, "keep_last_n_checkpoints": 1}, listeners=[damage])
    assert 10 in episodes(tmp_path, "run1")


def test_a_listener_that_fails_does_not_stop_the_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fails(event: Event) -> None:
        raise ConnectionError("no database")

    run(tmp_path, "run1", {**SMALL, "total_timesteps": 256}, listeners=[fails])
    assert "a listener failed at saved ep0000" in caplog.text


def test_an_interval_of_zero_saves_only_at_the_end(tmp_path: Path, whole: tuple[Path, str]) -> None:
    assert run(tmp_path, "run1", {**SMALL, "checkpoint_interval_episodes": 0}) == whole[1]
    assert len(episodes(tmp_path, "run1")) == 1
    folder = tmp_path / "ppo_agent/run1"
    assert PPO.load(folder / "final_model.zip").num_timesteps == 1024
    path = list_checkpoints(tmp_path, "run1", "ppo_agent")[0]
    fields = {"resume_from_checkpoint": str(path), "total_timesteps": 1200, "learning_rate": 0.0001}
    _, model = train({"checkpoint_dir": str(tmp_path), "run_id": "longer", **fields})
    assert (model.num_timesteps, model.policy.optimizer.param_groups[0]["lr"]) == (1280, 0.0001)


def test_a_resumed_training_is_a_new_run_that_names_its_origin(whole: tuple[Path, str], tmp_path: Path) -> None:
    path = list_checkpoints(whole[0], "whole", "ppo_agent")[-2]
    config = tmp_path / "config_resume.yaml"
    config.write_text(f"resume_from_checkpoint: {path}\ncheckpoint_interval_episodes: 50\n")
    done, _ = train({"checkpoint_dir": str(tmp_path)}, read_yaml(config))
    assert done.run_id != "whole"
    assert (done.parent, done.resumed_from) == (("ppo_agent/whole", int(path.stem[2:])), path)
    newest = list_checkpoints(tmp_path, done.run_id, "ppo_agent")[-1]
    metadata = json.loads(newest.with_name(f"{newest.stem}_metadata.json").read_text())
    assert metadata["episode"] > int(path.stem[2:])
    assert metadata["extra_state"]["resumed_from"] == str(path)


def test_the_command_line_wins_over_the_file_and_the_file_over_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "config_resume.yaml"
    path.write_text("mode: full\nkeep_last_n_checkpoints: 5\nlearning_rate: 0.0001\n")
    chosen = arguments(["--learning-rate", "0.01"])
    saved = combined({}, {"checkpoint_interval_episodes": 7, "keep_last_n_checkpoints": 9}).saved()
    config = combined(saved, read_yaml(path), chosen)
    assert (config.checkpoint_interval_episodes, config.keep_last_n_checkpoints) == (7, 5)
    assert (config.learning_rate, config.total_timesteps) == (0.01, MODES["full"])


@pytest.mark.parametrize(
    "line",
    [
        "--checkpoint-interval-episodes 100",
        "--keep-last-n-checkpoints 10",
        "--checkpoint-dir checkpoints",
        "--resume-from-checkpoint checkpoints/ppo_agent/run123/ep000100.zip --total-timesteps 2000000 "
        "--learning-rate 0.0001",
        "--mode full --total-timesteps 1000000 --checkpoint-interval-episodes 50 --keep-last-n-checkpoints 3",
    ],
)
def test_the_documented_words_mean_what_they_say(line: str) -> None:
    words = line.split()
    config = combined({}, arguments(words)).model_dump()
    for name, value in zip(words[::2], words[1::2], strict=True):
        assert config[name[2:].replace("-", "_")] == type(config[name[2:].replace("-", "_")])(value)


def test_the_defaults_are_the_documented_ones() -> None:
    config = combined({}, arguments([]))
    assert (config.checkpoint_interval_episodes, config.keep_last_n_checkpoints) == (50, 3)
    assert (config.checkpoint_dir, config.agent_id) == ("checkpoints", "ppo_agent")
    assert combined({}, read_yaml(EXAMPLE / "config.yaml")).saved() == config.saved()


def test_a_missing_checkpoint_is_the_documented_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^Checkpoint not found: .*ep000100\.zip$"):
        load_checkpoint(tmp_path / "ep000100.zip")


@pytest.mark.parametrize("suffix", [".zip", "_state.json", "_rollout_buffer.npz"])
@pytest.mark.parametrize("vouched", [True, False])
def test_a_truncated_file_is_the_documented_error(copied: Path, suffix: str, vouched: bool) -> None:
    path = list_checkpoints(copied, "whole", "ppo_agent")[0]
    damaged = path.with_name(path.stem + suffix)
    damaged.write_bytes(damaged.read_bytes()[:-200])
    if not vouched:
        path.with_name(f"{path.stem}.manifest.json").unlink()
    with pytest.raises(RuntimeError, match="Failed to load model") as caught:
        load_checkpoint(path)
    assert str(caught.value) == "Failed to load model from checkpoint"
    assert len(caught.value.__notes__) > 1
    assert not vouched or damaged.name in caught.value.__notes__[1]


def test_another_environment_is_the_documented_error(whole: tuple[Path, str]) -> None:
    path = list_checkpoints(whole[0], "whole", "ppo_agent")[0]
    with pytest.raises(RuntimeError, match="Failed to load model from checkpoint") as caught:
        load_checkpoint(path, env=gymnasium.make("Acrobot-v1"))
    assert "space" in caught.value.__notes__[1]


def test_metadata_of_another_episode_is_refused_unless_a_person_says_which(copied: Path) -> None:
    path = list_checkpoints(copied, "whole", "ppo_agent")[0]
    beside = path.with_name(f"{path.stem}_metadata.json")
    beside.write_text(beside.read_text().replace('"episode": 10', '"episode": 90'))
    assert ckptkit(copied, "verify", "ppo_agent/whole@10").returncode == 1
    with pytest.raises(RuntimeError, match="Failed to load model") as caught:
        load_checkpoint(path)
    assert "--resume-episode 10 goes on with what the manifest says" in caught.value.__notes__[-1]
    assert load_checkpoint(path, episode=10)[2]["episode"] == 10
    path.with_name("ep000010.manifest.json").unlink()
    with pytest.raises(InconsistentSetError, match="says episode 90, the file name 10") as mismatch:
        load_checkpoint(path)
    assert mismatch.value.hint.endswith("--resume-episode 10")
    assert load_checkpoint(path, episode=10)[2]["episode"] == 10


@pytest.mark.parametrize("content", [None, '{"episode": 90, "config": {"seed": 5}}'])
def test_the_hint_for_changed_metadata_ends_as_the_run_did(
    whole: tuple[Path, str], copied: Path, content: str | None
) -> None:
    path = list_checkpoints(copied, "whole", "ppo_agent")[0]
    beside = path.with_name("ep000010_metadata.json")
    if content is None:
        beside.unlink()
    else:
        beside.write_text(content)
    fields = {"resume_from_checkpoint": str(path)}
    with pytest.raises(RuntimeError, match="Failed to load model") as caught:
        run(copied, "resumed", fields)
    assert "--resume-episode 10 goes on" in caught.value.__notes__[-1]
    assert run(copied, "resumed", fields, resume_episode=10) == whole[1]
    assert CheckpointStore(copied).verify("ppo_agent/resumed").exit_code == 0


def test_a_total_behind_the_checkpoint_is_refused(whole: tuple[Path, str], tmp_path: Path) -> None:
    path = list_checkpoints(whole[0], "whole", "ppo_agent")[-1]
    with pytest.raises(UsageError, match="total_timesteps 100: the checkpoint has done 1024 already"):
        run(tmp_path, "run1", {"resume_from_checkpoint": str(path), "total_timesteps": 100})
    assert not (tmp_path / "ppo_agent").exists()


def test_a_count_of_episodes_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--resume-episode needs a checkpoint"):
        run(tmp_path, "run1", resume_episode=10)


def test_a_checkpoint_without_metadata_is_not_guessed_at(copied: Path) -> None:
    path = list_checkpoints(copied, "whole", "ppo_agent")[0]
    path.with_name("ep000010.manifest.json").unlink()
    path.with_name("ep000010_metadata.json").unlink()
    with pytest.raises(RuntimeError) as caught:
        load_checkpoint(path)
    assert "its _metadata.json is missing" in caught.value.__notes__


def test_a_bare_zip_with_metadata_goes_on_from_its_weights(copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = list_checkpoints(copied, "whole", "ppo_agent")[0]
    for name in (".manifest.json", "_state.json", "_rollout_buffer.npz"):
        path.with_name(path.stem + name).unlink()
    done, model = train({"checkpoint_dir": str(copied), "resume_from_checkpoint": str(path), "total_timesteps": 500})
    assert (done.parent, model.num_timesteps >= 500) == (None, True)
    assert "weights and counters go on, nothing else" in caplog.text


def test_a_bare_zip_with_metadata_is_listed_with_a_warning_and_adopted(
    copied: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = list_checkpoints(copied, "whole", "ppo_agent")[0]
    for kind in ("manifest.json", "observed.json"):
        path.with_name(f"{path.stem}.{kind}").unlink()
    assert path not in list_checkpoints(copied, "whole", "ppo_agent")  # what a save that was killed left behind
    for name in ("_state.json", "_rollout_buffer.npz"):
        path.with_name(path.stem + name).unlink()
    assert list_checkpoints(copied, "whole", "ppo_agent")[0] == path
    assert "without a manifest, so not verified: ep000010.zip" in caplog.text
    told = ckptkit(copied, "list", "ppo_agent/whole").stderr
    assert "ppo_agent/whole: 1 checkpoint has no manifest and cannot be listed: ep000010.zip (sb3)" in told
    words = shlex.split(told.splitlines()[-1].partition("a manifest: ")[2])
    assert subprocess.run([CKPTKIT, *words[1:]], capture_output=True).returncode == 0
    assert ckptkit(copied, "list", "ppo_agent/whole").stdout.splitlines()[1].startswith("ppo_agent/whole\t10\t")
    assert ckptkit(copied, "verify", "ppo_agent/whole@10").returncode == 0


def test_a_checkpoint_of_another_training_is_refused_field_by_field(whole: tuple[Path, str]) -> None:
    path = list_checkpoints(whole[0], "whole", "ppo_agent")[0]
    with pytest.raises(ConfigMismatchError) as caught:
        train({"resume_from_checkpoint": str(path), "env_id": "Acrobot-v1", "seed": 3})
    assert "env_id: 'CartPole-v1' there, 'Acrobot-v1' here; seed: 0 there, 3 here" in str(caught.value)


def test_a_wrong_field_is_named() -> None:
    with pytest.raises(UsageError, match="keep_last_n_checkpoints: Input should be greater than or equal to 1"):
        combined({}, {"keep_last_n_checkpoints": 0})
    with pytest.raises(UsageError, match="keep_last: Extra inputs are not permitted"):
        combined({}, {"keep_last": 3})
    with pytest.raises(UsageError, match="env_id: Environment `Nope` doesn't exist"):
        train({"env_id": "Nope-v9"})
    with pytest.raises(UsageError, match="env_id: No module named 'nobody_has_it'"):
        train({"env_id": "nobody_has_it:Nope-v0"})
    with pytest.raises(UsageError, match="sac on CartPole-v1: The algorithm only supports"):
        train({"algorithm": "sac"})


def test_a_run_is_not_written_into_twice(copied: Path) -> None:
    with pytest.raises(ConflictError, match=r"ppo_agent/whole: has checkpoints already \(steps 10, "):
        run(copied, "whole")


def test_going_back_in_a_run_is_refused_unless_the_newer_ones_may_go(whole: tuple[Path, str], copied: Path) -> None:
    before = episodes(copied, "whole")
    fields = {"resume_from_checkpoint": str(copied / "ppo_agent/whole/ep000020.zip")}
    with pytest.raises(ConflictError, match=r"ppo_agent/whole: has newer checkpoints .* than step 20"):
        run(copied, "whole", fields)
    assert episodes(copied, "whole") == before
    assert run(copied, "whole", {**fields, "keep_last_n_checkpoints": 99}, replace_newer=True) == whole[1]
    assert episodes(copied, "whole") == before
    assert CheckpointStore(copied).verify("ppo_agent/whole").exit_code == 0


def test_a_run_that_falls_back_within_itself_saves_the_damaged_ones_anew(whole: tuple[Path, str], copied: Path) -> None:
    before = episodes(copied, "whole")
    for episode in before[2:]:
        path = copied / f"ppo_agent/whole/ep{episode:06d}_metadata.json"
        path.write_text(path.read_text() + " ")
    fields = {"resume_from_checkpoint": str(copied / "ppo_agent/whole/ep000020.zip"), "keep_last_n_checkpoints": 99}
    assert run(copied, "whole", fields) == whole[1]
    assert episodes(copied, "whole") == before
    assert CheckpointStore(copied).verify("ppo_agent/whole").exit_code == 0
