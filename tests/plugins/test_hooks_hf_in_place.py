"""The hook of the Hugging Face Trainer where it copies nothing: the same story as of copies, in `output_dir` itself."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # as a program, this file lies outside every package

from ckptkit import CheckpointStore
from tests.plugins import hooks_story, test_hooks_hf
from tests.plugins.hooks_story import RUN, Story

matrix, slow = pytest.mark.matrix, pytest.mark.slow
VARIANTS = {"mid-epoch": 15}

OWN = """
import os, sys, threading, time
import torch
from ckptkit import Retain
from ckptkit_hooks.hf import CheckpointCallback
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

out, limit, retain = sys.argv[1], int(sys.argv[2]) or None, int(sys.argv[3])
torch.manual_seed(0)
rows = [{"input_ids": row, "labels": row} for row in torch.randint(0, 32, (8, 8))]
arguments = TrainingArguments(
    out, max_steps=6, save_steps=2, save_total_limit=limit, per_device_train_batch_size=2, report_to=[],
    use_cpu=True, disable_tqdm=True,
)
resume = [sys.executable, *sys.argv] if sys.argv[0] != "-c" else None
slow = float(sys.argv[4]) if sys.argv[4:] else None  # seconds that each flush takes, where nobody waits for it
if slow:
    flush = os.fsync
    def slowly(descriptor):
        if threading.current_thread() is not threading.main_thread():
            time.sleep(slow)
        flush(descriptor)
    os.fsync = slowly
hook = CheckpointCallback(retain=Retain(last=retain) if retain else None, resume=resume, wait=slow is None)
model = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=32, n_positions=8))
trainer = Trainer(model, arguments, train_dataset=rows, callbacks=[hook])
print("latest", hook.latest())
trainer.train(resume_from_checkpoint=hook.latest())
"""


def train(store: Path, at_step: Callable[[int], None], variant: str) -> str:
    return test_hooks_hf.train(store, at_step, variant, store / RUN)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    place = tmp_path_factory.mktemp("hf-in-place")
    return hooks_story.tell(__file__, place, kill_at=14, term_at=15, variants=VARIANTS)


@matrix
def test_killed_damaged_and_ended_it_comes_to_the_same_end(story: Story) -> None:
    hooks_story.killed_without_a_word(story)
    hooks_story.fell_back(story, to=8)
    hooks_story.saved_first(story, at=15)
    hooks_story.the_same_end(story)


@matrix
def test_it_is_kept_once_by_retention_verifies_and_captures_all(story: Story) -> None:
    store = CheckpointStore(story.store)
    assert story.finished.steps[-1] == 24
    assert len(story.finished.steps) in (2, 3)
    folders = sorted(path.name for path in (story.store / RUN).glob("checkpoint-*") if path.is_dir())
    assert folders == sorted(f"checkpoint-{step}" for step in story.finished.steps)
    assert store.verify().exit_code == 0
    assert {listed.summary.grade for listed in store.list() if listed.summary} == {"complete"}


@matrix
def test_where_fetching_draws_random_numbers_it_is_exact_in_mid_epoch_too(story: Story) -> None:
    assert story.variants == dict.fromkeys(VARIANTS, ("same", "complete"))


@pytest.mark.parametrize(
    ("limit", "retain"),
    [pytest.param(0, 1, marks=slow), pytest.param(1, 0, marks=matrix), pytest.param(2, 1, marks=matrix)],
)
def test_the_trainers_rotation_and_ours_live_together(limit: int, retain: int, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", OWN, str(tmp_path / "out"), str(limit), str(retain)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    store = CheckpointStore(tmp_path / "out")
    assert [at.ref for at in store.locate()] == [".@6"]
    assert store.verify().exit_code == 0
    assert ("save_total_limit=2 removes checkpoints for good" in done.stderr) == bool(limit and retain)


@matrix
def test_a_run_whose_adoptions_go_on_behind_ends_like_one_that_waits_for_them(story: Story) -> None:
    assert story.behind == ("same", "complete")


def behind(output: Path, *, limit: int, retain: int = 0, slow: float) -> list[str]:
    words = [str(output), str(limit), str(retain), str(slow)]
    return [sys.executable, "-W", "ignore", "-c", OWN, *words]


@pytest.mark.parametrize(
    ("limit", "retain", "kept"), [pytest.param(1, 0, [6], marks=slow), pytest.param(0, 2, [4, 6], marks=matrix)]
)
def test_what_the_trainer_removes_before_it_is_adopted_ends_no_training(
    limit: int, retain: int, kept: list[int], tmp_path: Path
) -> None:
    command = behind(tmp_path / "out", limit=limit, retain=retain, slow=0.2)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert ("checkpoint-2: its trainer removed it before it was adopted" in done.stderr) == bool(limit)
    store = CheckpointStore(tmp_path / "out")
    assert [at.step for at in store.locate()] == kept
    assert store.verify().exit_code == 0


@matrix
@pytest.mark.parametrize("limit", [0, 1])
def test_killed_while_it_adopts_behind_it_goes_on_from_what_the_trainer_had_finished(
    limit: int, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    with subprocess.Popen(behind(output, limit=limit, slow=0.3), stdout=subprocess.DEVNULL) as killed:
        deadline = time.monotonic() + 120
        while not (output / "checkpoint-4" / "ckptkit_position.json").exists():
            assert time.monotonic() < deadline
            assert killed.poll() is None
            time.sleep(0.01)
        killed.kill()
    store = CheckpointStore(output, cache=False)
    assert 4 not in [at.step for at in store.locate()]
    assert all(one.good for one in store.verify().checkpoints) or limit
    command = behind(output, limit=limit, slow=0.01)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert f"latest {output}/checkpoint-4" in done.stdout, done.stderr[-2000:]
    assert done.returncode == 0, done.stderr[-2000:]
    assert [at.step for at in store.locate()] == ([6] if limit else [2, 4, 6])
    assert store.verify().exit_code == 0


@matrix
def test_a_rehearsal_beside_the_run_comes_to_a_verdict_though_retention_keeps_only_the_last(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(OWN)
    command = [sys.executable, str(tmp_path / "train.py"), str(tmp_path / "out"), "0", "1"]
    environment = {**os.environ, "CKPTKIT_BACKGROUND": "normal"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    store, deadline = CheckpointStore(tmp_path / "out"), time.monotonic() + 240
    assert [at.step for at in store.locate()] == [2, 6], done.stderr[-3000:]
    while not (told := {one.at.step: one.shown.words for one in store.list() if one.shown}):
        assert time.monotonic() < deadline, done.stderr[-3000:]
        time.sleep(0.5)
    assert told == {2: "rehearsed 4"}
    folders = sorted(path.name for path in (tmp_path / "out").glob("checkpoint-*") if path.is_dir())
    assert folders == ["checkpoint-2", "checkpoint-6"], "a rehearsal writes elsewhere"


@matrix
def test_what_the_trainer_had_finished_when_it_was_killed_is_resumed_from(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", OWN, str(tmp_path / "out"), "0", "0"]
    assert subprocess.run(command, capture_output=True, timeout=300, check=False).returncode == 0
    (tmp_path / "out/checkpoint-6@6.manifest.json").unlink()
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert f"latest {tmp_path}/out/checkpoint-6" in done.stdout, done.stderr[-2000:]


if __name__ == "__main__":
    hooks_story.main(train)
