"""The self-test of environments runs in another process, once for each kind, and sees what attributes do not tell."""

import os
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ckptkit_sb3 import trials
from ckptkit_sb3.definition import define
from sb3_agents import Saves, Walk, common, train
from sb3_worlds import Closed, Counted, Global, World
from stable_baselines3 import A2C
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


class Watched(World):
    """Notes in which process it is built and stepped; holds on to a counter where nobody looks."""

    processes: ClassVar[set[int]] = set()

    def __init__(self) -> None:
        count = 0

        def move() -> float:
            nonlocal count
            count += 1
            return 0.1 * count

        self.push = move  # type: ignore[method-assign]

    def step(self, action: Any) -> Any:
        type(self).processes.add(os.getpid())
        return super().step(action)


class Once(Walk):
    """Only for the test that counts its self-tests."""


@pytest.mark.parametrize("around", [DummyVecEnv, lambda made: SubprocVecEnv(made, start_method="fork")])
def test_a_kind_of_environment_is_tested_once_and_in_another_process(around: Any, tmp_path: Path) -> None:
    seen: list[int] = []
    listening = [True]

    def hear(event: str, given: Any) -> None:
        if listening and event == "subprocess.Popen" and "ckptkit_sb3.selftest" in str(given):
            seen.append(1)

    sys.addaudithook(hear)
    trials._BEGUN.clear()  # an earlier test may have asked for the same kind
    saves = Saves(tmp_path)
    model = A2C("MlpPolicy", around([Once, Once]), **common(0))
    train(model, saves, total=60, every=10)
    model.env.close()
    listening.clear()
    assert len(saves.made) > 3
    assert {item.metadata["environments"][0]["tested"] for _, item in saves.made} == {"passed"}
    assert sum(seen) == 1


def test_state_that_no_attribute_tells_is_found_by_what_happens_next() -> None:
    Watched.processes.clear()
    verdict = trials.begin(define(Watched())).verdict()
    assert verdict.against("attributes") == "a fresh environment with this state goes on differently"
    assert not Watched.processes  # neither built nor stepped here


def test_names_in_classes_and_modules_that_change_are_state() -> None:
    verdict = trials.begin(define(Counted())).verdict()
    assert verdict.against("attributes") is None
    assert sorted(name for _, name in verdict.outside) == ["EPISODES", "resets"]


def test_global_generators_are_no_state_of_the_environment() -> None:
    assert trials.begin(define(Global())).verdict().tested("attributes") == "passed"


def test_what_cannot_be_said_is_not_tested() -> None:
    assert trials.begin(define(Closed())).verdict().found == {}
