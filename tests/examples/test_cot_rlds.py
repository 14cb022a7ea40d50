"""The CoT RLDS example: its programs run as documented, a killed training goes on exactly, bad input is refused."""

import os
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cot_rlds_example
import numpy as np
import pytest
from command_line import ckptkit
from cot_rlds_example import (
    EXAMPLE,
    ONE_THREAD,
    SHORT,
    finished,
    flip,
    loader,
    module,
    start,
    take,
)
from openpi_cot.dataloader.cot_data_loader import CoTRLDSDataLoader, Sharding, create_data_loader
from openpi_cot.training import checkpoints as _checkpoints
from openpi_cot.training.config import CONFIGS, TrainConfig, get_config
from openpi_cot.training.policy import TrainState

from ckptkit.errors import ConflictError, NothingResumableError, RefusedError

pytestmark = pytest.mark.matrix  # a minute: what goes wrong with its input is tried with every run
# pytest finds fixtures among the names of a module
one_thread, data, config = (getattr(cot_rlds_example, name) for name in ("one_thread", "data", "config"))


def test_a_step_that_is_not_there_is_not_trained_from_the_beginning(data: Path, tmp_path: Path) -> None:
    process = start(
        "scripts/train.py", "--data-dir", data, "--checkpoint-dir", tmp_path / "store", *SHORT, "--resume", "500"
    )
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 4
    assert "gemma3@500: is not there" in errors
    assert not (tmp_path / "store").exists()


KILLED_TRAINING = """
import os, runpy, signal, sys
first = sys.argv[1]
def hook(event, args):  # the save after the first: payload is written, and no manifest yet
    if event == "open" and "tfdata.json" in str(args[0]) and "staging" in str(args[0]) and os.path.isdir(first):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

KILLED_LOADER = """
import os, signal, sys
sys.path.insert(0, "src")
from openpi_cot.dataloader.cot_data_loader import create_data_loader
from openpi_cot.training.config import get_config
config = get_config("gemma3").with_(batch_size=8, data={"data_dir": sys.argv[1]})
loader = create_data_loader(config, persistent_iterator=True, shuffle=True)
batches = iter(loader)
[next(batches) for _ in range(5)]
loader.save_dataloader_state(sys.argv[2])
[next(batches) for _ in range(5)]
sys.addaudithook(lambda event, _: os.kill(os.getpid(), signal.SIGKILL) if event == "os.rename" else None)
loader.save_dataloader_state(sys.argv[2])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programs of this module write to."""
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="module", autouse=True)
def programs(data: Path, folder: Path) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """The programs that need a process of their own, started at once: importing TensorFlow takes them seconds."""
    options = ["--config-name=gemma3", f"--data-dir={data}"]
    store = folder / "store"
    training = ["scripts/train.py", *options, *SHORT, "--checkpoint-dir", store]
    started = {
        "simple": start("scripts/tests/test_dataloader_checkpoint_simple.py", *options),
        "killed training": start("-c", KILLED_TRAINING, store / "gemma3" / "step-00000010", *training),
        "killed loader": start("-c", KILLED_LOADER, data, folder / "dataloader"),
    }
    yield started
    for process in started.values():
        process.kill()
        process.communicate()


def test_the_comprehensive_test_program_passes(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = EXAMPLE / "scripts" / "tests" / "test_dataloader_checkpoint.py"
    monkeypatch.syspath_prepend(program.parent)  # as running the script does
    monkeypatch.setattr(sys, "argv", [str(program), "--config-name=gemma3", f"--data-dir={data}"])
    runpy.run_path(str(program), run_name="__main__")
    output = capsys.readouterr().out
    assert "Multiple save/load cycles" in output
    assert "Batch identifier tracking" in output
    assert "Multi-host scenario (2 hosts)" in output
    assert output.splitlines()[-2] == "ALL TESTS PASSED! ✓"


def test_the_simple_test_program_prints_what_the_document_shows(programs: dict[str, subprocess.Popen[str]]) -> None:
    lines = finished(programs["simple"]).splitlines()
    line = "=" * 80
    assert lines[:5] == [line, "DataLoader Checkpoint Test", line, "", "Loading configuration..."]
    assert lines[5] == "✓ Config loaded: gemma3"
    assert lines[6].startswith("✓ Checkpoint directory: ")
    assert lines[6].endswith("/test_checkpoint")
    shapes = "obs.state shape=(32, 1, 7), actions shape=(32, 16, 7)"
    assert lines[8:14] == [
        "Step 1: Creating dataloader with persistent_iterator=True...",
        "✓ Dataloader created successfully",
        "",
        "Step 2: Iterating through 5 batches...",
        f"  Batch 1: {shapes}",
        f"  Batch 2: {shapes}",
    ]
    assert "✓ Successfully processed 5 batches" in lines
    assert lines[-3:] == [line, "ALL TESTS PASSED! ✓", line]


def test_a_training_killed_in_the_middle_of_a_save_ends_as_one_that_never_was(
    programs: dict[str, subprocess.Popen[str]],
    data: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = folder / "store"
    finished(programs["killed training"], -signal.SIGKILL)
    half = next((store / "gemma3" / ".ckptkit" / "staging").glob("*/checkpoint"))
    assert (half / "data-rank0" / "iterator.index").exists()
    assert not (half / "manifest.json").exists()
    listed = ckptkit("list", "gemma3", "--format", "tsv", store=store)
    assert [line.split("\t")[:2] for line in listed.stdout.splitlines()[1:]] == [["gemma3", "10"]]
    assert ckptkit("verify", store=store).returncode == 0
    command = ckptkit("resume-cmd", "gemma3", store=store).stdout.strip()
    resumed = subprocess.run(command, shell=True, capture_output=True, text=True, env={**os.environ, **ONE_THREAD})
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed gemma3 at step 10, batch 10\n" in resumed.stdout
    # The run that is never interrupted runs in this process: what a digest says must not depend on that.
    options = ["--config-name=gemma3", f"--data-dir={data}", *SHORT, "--checkpoint-dir", str(tmp_path / "my ckpts")]
    monkeypatch.setattr(sys, "argv", ["train.py", *options])
    module("scripts/train.py").main()
    whole = capsys.readouterr().out
    assert f"if it dies: ckptkit --store '{tmp_path}/my ckpts' resume-cmd gemma3\n" in whole
    assert whole.splitlines()[-1].startswith("digest ")
    assert resumed.stdout.splitlines()[-1] == whole.splitlines()[-1]


def test_a_kill_while_the_loader_is_saved_leaves_the_state_before(
    programs: dict[str, subprocess.Popen[str]], config: TrainConfig, folder: Path
) -> None:
    finished(programs["killed loader"], -signal.SIGKILL)
    saved = folder / "dataloader"
    assert any(saved.glob("rank0/.ckptkit/staging/*/checkpoint/manifest.json"))  # all but the commit had happened
    resumed = loader(config)
    assert resumed.load_dataloader_state(str(saved)) == 5
    assert take(resumed, 3) == take(loader(config), 8)[5:]


# --- the documented API


def test_the_documents_complete_example_runs_and_resumes(config: TrainConfig, tmp_path: Path) -> None:
    def train_with_checkpoint_resume(checkpoint_dir: str, stop: int) -> list[bytes]:
        dataloader = create_data_loader(config=config, persistent_iterator=True, shuffle=True, split="train")
        dataloader_ckpt_dir = os.path.join(checkpoint_dir, "dataloader")
        start_batch = 0
        if os.path.exists(dataloader_ckpt_dir):
            start_batch = dataloader.load_dataloader_state(dataloader_ckpt_dir)
        seen = []
        for batch_idx, (observations, _actions) in enumerate(dataloader, start=start_batch + 1):
            seen.append(observations.frame_id.tobytes())
            assert dataloader.get_batches_seen() == batch_idx
            if batch_idx % 4 == 0:
                dataloader.save_dataloader_state(dataloader_ckpt_dir)
            if batch_idx == stop:
                return seen
        raise AssertionError("the train split never ends")

    first = train_with_checkpoint_resume(str(tmp_path / "a"), 9)
    second = train_with_checkpoint_resume(str(tmp_path / "a"), 14)
    assert first[:8] + second == train_with_checkpoint_resume(str(tmp_path / "b"), 14)


def test_a_saved_state_is_listed_and_verified_by_ckptkit(config: TrainConfig, tmp_path: Path) -> None:
    one = loader(config)
    for _ in range(4):
        take(one, 2)
        path = one.save_dataloader_state(str(tmp_path / "dataloader"))
    assert Path(path).is_file()
    listed = ckptkit("list", "--format", "tsv", store=tmp_path / "dataloader").stdout.splitlines()[1:]
    assert [line.split("\t")[:2] for line in listed] == [["rank0", "3"], ["rank0", "4"]]  # the newest two stay
    assert ckptkit("verify", store=tmp_path / "dataloader").returncode == 0


def test_a_loader_that_is_not_persistent_has_no_state(config: TrainConfig, tmp_path: Path) -> None:
    plain = loader(config, persistent_iterator=False)
    for call in (plain.save_dataloader_state, plain.load_dataloader_state):
        with pytest.raises(ValueError) as caught:
            call(str(tmp_path))
        assert str(caught.value) == "Dataloader must be created with persistent_iterator=True"
    assert take(plain, 3) == take(plain, 3)  # each loop starts over
    assert plain.get_batches_seen() == 6


@pytest.mark.parametrize("exists", [False, True])
def test_no_checkpoint_is_a_value_error(config: TrainConfig, tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "dataloader"
    if exists:
        folder.mkdir()
    with pytest.raises(ValueError) as caught:
        loader(config).load_dataloader_state(str(folder))
    assert str(caught.value) == f"No checkpoint found in {folder}"


def test_what_the_batches_hold_is_what_was_played(config: TrainConfig) -> None:
    from openpi_cot.dataloader.episode_index import read_index

    one = loader(config, shuffle=False, split="val")
    observations, actions = next(iter(one))
    assert (observations.state.shape, actions.shape) == ((8, 1, 7), (8, 16, 7))
    assert observations.frame_id[:, 1].tolist() == list(range(8))
    assert np.array_equal(actions[0, 1:], actions[1, :-1])  # a chunk is what comes next
    spread = read_index(config.data_dir, "val", 0, 1).statistics
    raw = observations.state[:, 0] * spread["state"].std + spread["state"].mean
    torques = (actions * spread["action"].std + spread["action"].mean)[:, 0, 6]
    assert np.allclose(np.hypot(raw[:, 0], raw[:, 1]), 1, atol=1e-5)  # cosine and sine of one angle
    assert np.allclose(raw[1:, 6], torques[:-1], atol=1e-5)  # the state holds the torque before
    thoughts = [bytes(row).rstrip(b"\0").decode() for row in observations.tokenized_reasoning]
    assert all(text.startswith(("tip up, torque ", "tip down, torque ")) for text in thoughts)


def test_a_finished_epoch_stays_finished_after_a_load(config: TrainConfig, tmp_path: Path) -> None:
    one = loader(config, split="val")
    count = len(list(one))
    one.save_dataloader_state(str(tmp_path))
    resumed = loader(config, split="val")
    assert resumed.load_dataloader_state(str(tmp_path)) == count == one.definition["frames"] // 8
    assert list(resumed) == []


# --- other definitions, damage


@pytest.mark.parametrize(
    ("changes", "options", "said"),
    [
        ({"batch_size": 4}, {}, "batch_size 8 -> 4"),
        ({}, {"seed": 7}, "seed 42 -> 7"),
        ({}, {"shuffle": False}, "shuffle True -> False"),
        ({"data": {"shuffle_by": "frames"}}, {}, "size 'unset' -> 4096; shuffle_by 'indices' -> 'frames'"),
        ({"data": {"prefetch": 1, "action_horizon": 8}}, {}, "prefetch 0 -> 1"),
        ({"data": {"action_horizon": 8}}, {}, "action_horizon 16 -> 8"),
        ({}, {"split": "val"}, "split 'train' -> 'val'"),
        ({}, {"sharding": Sharding(0, 2)}, "process_count 1 -> 2"),
        ({}, {"sharding": Sharding(1, 2)}, "process_index 0 -> 1"),
    ],
)  # fmt: skip
def test_a_state_of_another_definition_is_refused_field_by_field(
    config: TrainConfig, saved_state: Path, changes: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    other = loader(config.with_(**changes), **options)
    with pytest.raises(RefusedError) as caught:
        other.load_dataloader_state(str(saved_state))
    assert said in str(caught.value)
    assert other.get_batches_seen() == 0


def test_a_plain_tensorflow_checkpoint_is_told_and_goes_on_once_it_is_saved(
    config: TrainConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import tensorflow as tf

    one = loader(config)
    plain = iter(one._dataset._dataset.dataset())
    next(plain)
    tf.train.Checkpoint(iterator=plain).save(str(tmp_path / "ckpt"))  # as the document says that it is done
    with pytest.raises(ValueError, match=f"^No checkpoint found in {tmp_path}$"):
        one.load_dataloader_state(str(tmp_path))
    command = caplog.messages[0].partition("anyway: ckptkit ")[2]
    assert ckptkit(*shlex.split(command)).returncode == 0
    one.load_dataloader_state(str(tmp_path))
    expected = next(plain)["actions"].numpy()
    assert (next(iter(one))[1] == expected).all()


@pytest.fixture(scope="module")
def saved_state(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state after 3 batches and one after 6; nobody may change it."""
    folder = tmp_path_factory.mktemp("saved") / "dataloader"
    one = loader(get_config("gemma3").with_(batch_size=8, data={"data_dir": data}))
    for _ in range(2):
        take(one, 3)
        one.save_dataloader_state(str(folder))
    return folder


def test_a_damaged_state_is_passed_over_and_all_damaged_is_not_taken_for_none(
    config: TrainConfig, saved_state: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(saved_state, tmp_path / "dataloader"))
    flip(folder / "rank0/step-00000002/data/iterator.data-00000-of-00001")
    assert loader(config).load_dataloader_state(str(folder)) == 3
    assert "rank0@2 is damaged" in caplog.text
    flip(folder / "rank0/step-00000001/data/iterator.index")
    one = loader(config)
    with pytest.raises(NothingResumableError, match="rank0@2") as caught:
        one.load_dataloader_state(str(folder))
    assert not isinstance(caught.value, ValueError)  # or the document's example would start from scratch
    assert one.get_batches_seen() == 0


def test_every_named_config_makes_a_loader(data: Path) -> None:
    for path in sorted(CONFIGS.glob("*.yaml")):
        named = get_config(path.stem)
        assert named.name == path.stem
        observations, actions = next(iter(loader(named.with_(data={"data_dir": data}))))
        assert observations.state.shape == (named.batch_size, 1, 7)
        assert actions.shape == (named.batch_size, 16, 7)


# --- one checkpoint of model and loaders


def parts(config: TrainConfig, store: Path, **options: Any) -> tuple[Any, TrainState, list[CoTRLDSDataLoader]]:
    manager, _ = _checkpoints.initialize_checkpoint_dir(store, "run", config, resume=True)
    hosts = [loader(config, sharding=Sharding(host, 2), **options) for host in range(2)]
    return manager, TrainState.create(config), hosts


def trained(state: TrainState, hosts: list[CoTRLDSDataLoader], steps: int) -> TrainState:
    batches = zip(*hosts, strict=True)
    for _ in range(steps):
        state.train_step(list(next(batches)))
    return state


def test_model_and_the_loaders_of_two_hosts_are_one_checkpoint(config: TrainConfig, tmp_path: Path) -> None:
    manager, state, hosts = parts(config, tmp_path / "store")
    trained(state, hosts, 3)
    assert _checkpoints.save_state(manager, state, hosts, 3) is manager
    assert sorted(p.name for p in (tmp_path / "store/run/step-00000003").iterdir()) == [
        "data-rank0", "data-rank1", "manifest.json", "policy", "rng",
    ]  # fmt: skip
    whole = trained(state, hosts, 3).digest()
    manager, state, hosts = parts(config, tmp_path / "store")
    state = _checkpoints.restore_state(manager, state, hosts)
    assert (state.step, [h.get_batches_seen() for h in hosts]) == (3, [3, 3])
    assert trained(state, hosts, 3).digest() == whole


def test_hosts_that_are_not_at_the_same_batch_are_no_set(config: TrainConfig, tmp_path: Path) -> None:
    manager, state, hosts = parts(config, tmp_path / "store")
    take(hosts[1], 1)
    with pytest.raises(RefusedError, match="batches_seen"):
        _checkpoints.save_state(manager, state, hosts, 1)
    assert not list((tmp_path / "store").glob("run/step-*"))


def test_a_restore_with_another_config_changes_nothing_and_names_the_fields(
    config: TrainConfig, tmp_path: Path
) -> None:
    manager, state, hosts = parts(config, tmp_path / "store")
    _checkpoints.save_state(manager, state, hosts, 1)
    other = config.with_(model={"width": 32}, optimizer={"learning_rate": 0.5})
    manager, state, hosts = parts(other, tmp_path / "store", seed=3)
    before = [p.clone() for p in state.model.parameters()]
    with pytest.raises(RefusedError) as caught:
        _checkpoints.restore_state(manager, state, hosts)
    for field in (
        "data-rank0.seed 42 -> 3",
        "data-rank1.seed 42 -> 3",
        "model.width 96 -> 32",
        "learning_rate 0.001 -> 0.5",
    ):
        assert field in str(caught.value)
    assert all(bool((a == b).all()) for a, b in zip(before, state.model.parameters(), strict=True))
    assert [h.get_batches_seen() for h in hosts] == [0, 0]


def test_a_loader_that_is_not_persistent_is_not_saved_with_a_model(config: TrainConfig, tmp_path: Path) -> None:
    manager, state, hosts = parts(config, tmp_path / "store", persistent_iterator=False)
    with pytest.raises(ValueError, match="Dataloader must be created with persistent_iterator=True"):
        _checkpoints.save_state(manager, state, hosts, 1)


def test_a_run_that_exists_is_neither_overwritten_nor_mixed_up(config: TrainConfig, tmp_path: Path) -> None:
    manager, state, hosts = parts(config, tmp_path / "store")
    _checkpoints.save_state(manager, state, hosts, 1)
    with pytest.raises(ConflictError, match="has checkpoints already"):
        _checkpoints.initialize_checkpoint_dir(tmp_path / "store", "run", config)
    _, resuming = _checkpoints.initialize_checkpoint_dir(tmp_path / "store", "run", config, replace_newer=True)
    assert not resuming
    assert list(manager.store.list("run")) == []
    assert manager.store.undelete("run").step == 1
