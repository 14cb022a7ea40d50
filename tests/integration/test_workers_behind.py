"""Processes that are forked while a save goes on behind: they end, they save nothing, and the save is made once."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from ckptkit_safetensors import Policy
from stable_baselines3.common.vec_env import SubprocVecEnv

from ckptkit import CheckpointStore
from ckptkit.events import Event

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[CheckpointStore, Any, list[Event]]]:
    """A save that is in the middle of its first file, how to let it go on, and what is told of it."""
    reached, gate, told = threading.Event(), threading.Event(), []
    store = CheckpointStore(tmp_path / "store", listeners=[told.append])

    def wait(_: int) -> None:
        reached.set()
        assert gate.wait(60)

    model = torch.nn.Linear(64, 64)
    handle = store.save("run", 1, {"model": Policy(model), "rng": np.random.default_rng(1)}, wait=False, on_bytes=wait)
    assert reached.wait(60)

    def finish() -> None:
        gate.set()
        handle.result(60)

    yield store, finish, told
    gate.set()


def assert_saved_once(store: CheckpointStore, told: list[Event], root: Path) -> None:
    assert [event.kind for event in told] == ["saved"]
    assert [one.at.step for one in store.list()] == [1]
    assert store.verify().exit_code == 0
    staging = root / "store" / "run" / ".ckptkit" / "staging"
    assert not staging.exists() or not list(staging.iterdir())


@pytest.mark.parametrize("finished_first", [True, False])
def test_workers_of_a_data_loader_take_no_part_in_a_save(
    held: tuple[CheckpointStore, Any, list[Event]], tmp_path: Path, finished_first: bool
) -> None:
    store, finish, told = held
    rows = torch.arange(32.0).reshape(16, 2)
    loader = torch.utils.data.DataLoader(rows, batch_size=4, num_workers=2, multiprocessing_context="fork")
    batches = iter(loader)
    first = next(batches)
    if finished_first:
        finish()
    assert torch.equal(torch.cat([first, *batches]), rows)
    finish()
    assert_saved_once(store, told, tmp_path)


def test_environments_in_processes_take_no_part_in_a_save(
    held: tuple[CheckpointStore, Any, list[Event]], tmp_path: Path
) -> None:
    store, finish, told = held
    envs = SubprocVecEnv([lambda: gymnasium.make("CartPole-v1")] * 2, start_method="fork")
    assert envs.reset().shape == (2, 4)
    finish()
    envs.step(np.zeros(2, int))
    envs.close()
    assert_saved_once(store, told, tmp_path)
