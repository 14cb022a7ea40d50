"""The Keras hook: every kind of state of a training is put back, or is named as a reason why it cannot be."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ckptkit import CheckpointStore
from tests.command_line import PROGRAM

pytestmark = pytest.mark.matrix

SCRIPT = Path(__file__).with_name("keras_cases.py")
COMPLETE = {
    "mae": "compiled metrics, which Keras builds while it trains the first batch",
    "two-outputs": "metrics of several outputs, weighted and with an order",
    "subclassed": "a model that its first batch builds, its own step, a callback with all sorts, nothing seeded",
    "deciding": "Keras's own callbacks that decide, beside a backup of Keras's own",
    "average-at-the-end": "averaged weights, which replace the weights when a fit ends",
    "schedule-closure": "a schedule that counts in its closure and looks at the rate before",
    "eager": "attributes of layers of one's own, which run eagerly",
    "arrays": "a plateau, resumed at the end of an epoch",
}
PARTIAL = {
    "hidden": ["RandomStandardNormal draws", "the variable 'Variable'", "Odd.counter: ", "Odd.batches: "],
    "some-of-the-rows": ["steps_per_epoch: "],
}


def play(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TF_NUM_INTRAOP_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        timeout=1200,
        env={**os.environ, **quiet, **environment},
        check=False,
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    done = play("cases", str(tmp_path_factory.mktemp("keras")), *COMPLETE, *PARTIAL)
    assert done.returncode == 0, done.stderr
    return {line["case"]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("case", COMPLETE)
def test_a_resumed_run_ends_like_the_process_that_went_on(told: dict[str, Any], case: str) -> None:
    assert "error" not in told[case]["straight"]
    assert told[case]["resumed"].get("end") == told[case]["straight"]["end"], told[case]["resumed"]
    assert (told[case]["grade"], told[case]["reasons"]) == ("complete", [])


@pytest.mark.parametrize("case", PARTIAL)
def test_what_cannot_be_captured_is_named_and_the_run_can_be_resumed_all_the_same(
    told: dict[str, Any], case: str
) -> None:
    assert "error" not in told[case]["resumed"]
    assert told[case]["grade"] == "partial"
    for beginning in PARTIAL[case]:
        assert any(reason.startswith(beginning) for reason in told[case]["reasons"]), told[case]["reasons"]


def test_a_run_that_saves_at_each_step_does_what_it_does_without_a_hook(tmp_path: Path) -> None:
    done = play("without", str(tmp_path), "two-outputs", "deciding")
    assert done.returncode == 0, done.stderr
    for line in map(json.loads, done.stdout.splitlines()):
        assert len(line["no"]["trace"]) == len(line["each"]["trace"]) > 10
        assert line["each"] == line["no"]


@pytest.mark.parametrize(
    ("case", "words"),
    [("deciding", "rehearsed 8"), ("global", "differs (rehearsed 8)"), ("hidden", "differs (rehearsed 8)")],
)
def test_a_rehearsal_sees_what_looking_cannot(tmp_path: Path, case: str, words: str) -> None:
    done = play("once", str(tmp_path), case)
    assert done.returncode == 0, done.stderr
    first = next(iter(CheckpointStore(tmp_path / "store").list())).at.ref
    command = [*PROGRAM, "--store", str(tmp_path / "store"), "verify", first, "--level", "resume", "--steps", "8"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    shown = [listed.shown.words for listed in CheckpointStore(tmp_path / "store").list() if listed.shown is not None]
    assert shown == [words], done.stderr
