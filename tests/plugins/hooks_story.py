"""One story for every framework hook: train; be killed; find the newest damaged; get a SIGTERM; come to the same end.

A test file of a hook is the training script as well: run as a program it trains, and kills itself where it is told to.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from ckptkit import CheckpointStore

RUN = "story/run1"
TIMEOUT = 900  # for a hanging process, not for a slow one: a busy machine takes minutes for seven trainings


@dataclass
class Part:
    """What one process did: its exit code, what it printed, and the steps in the store afterwards."""

    code: int
    out: str
    err: str
    steps: list[int]

    @property
    def digest(self) -> str:
        return self.out.split("digest ")[1].split()[0]


@dataclass
class Story:
    """The uninterrupted run, and the processes of the interrupted one.

    ``variants``: of other trainings, each stopped by a SIGTERM and resumed in one process: whether that ended like one
    never stopped, and the grade of the checkpoint that it resumed from. ``behind``: of the training itself, when its
    saves go on behind.
    """

    store: Path
    straight: Part
    killed: Part
    damaged: int
    terminated: Part
    finished: Part
    variants: dict[str, tuple[str, ...]]

    @property
    def behind(self) -> tuple[str, ...]:
        return tuple(self.straight.out.split("behind ")[1].split()[:2])


def steps_of(store: Path) -> list[int]:
    return [at.step or 0 for at in CheckpointStore(store).storage.scan(RUN)] if store.is_dir() else []


def play(program: str, store: Path, *arguments: str) -> Part:
    command = [sys.executable, "-X", "faulthandler", program, str(store), *arguments]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=environment, check=False)
    return Part(done.returncode, done.stdout, done.stderr, steps_of(store))


def tell(program: str, place: Path, *, kill_at: int, term_at: int, variants: Mapping[str, int]) -> Story:
    """Run all processes; ``kill_at``, ``term_at`` and the values of ``variants`` count steps of the whole training."""
    store = place / "interrupted"
    words = ["--behind", str(term_at)]
    words += [word for name, step in variants.items() for word in ("--variant", name, str(step))]
    with ThreadPoolExecutor(1) as beside:
        future = beside.submit(play, program, place / "straight", *words)
        killed = play(program, store, "--kill-at", str(kill_at))
        damaged = killed.steps[-1]
        flip_a_bit(store, damaged)
        terminated = play(program, store, "--term-at", str(term_at))
        finished = play(program, store)
        straight = future.result()
    ends = [line.split() for line in straight.out.splitlines() if line.partition(" ")[0] in variants]
    return Story(store, straight, killed, damaged, terminated, finished, {end[0]: tuple(end[1:]) for end in ends})


def flip_a_bit(store: Path, step: int) -> None:
    """Damage the largest file of a checkpoint, by one bit in its middle."""
    opened = CheckpointStore(store)
    at = next(at for at in opened.locate(RUN) if at.step == step)
    listed = [at.folder / file.path for item in opened.manifest(at).items.values() for file in item.files]
    victim = max(listed, key=lambda f: f.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)


def killed_behind(story: Story, program: str, kill_at: int) -> None:
    """A training whose saves go on behind is killed at a step, goes on, and comes to the same end."""
    store = story.store.with_name("killed-behind")
    assert play(program, store, "--no-wait", "--kill-at", str(kill_at)).code == -signal.SIGKILL
    finished = play(program, store, "--no-wait")
    assert finished.code == 0, finished.err
    assert finished.digest == story.straight.digest
    assert CheckpointStore(store).verify().exit_code == 0


Train = Callable[[Path, Callable[[int], None], str], str]
_go_on_behind = False


def waits() -> bool:
    """Return whether the hook of this process is to wait for its saves."""
    return not _go_on_behind


def main(train: Train) -> None:
    """Run a training script: ``train(store, at_step, variant)`` calls ``at_step`` with each step, returns a digest."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=Path)
    parser.add_argument("--kill-at", type=int, default=-1)
    parser.add_argument("--term-at", type=int, default=-1)
    parser.add_argument("--behind", type=int, default=-1)
    parser.add_argument("--no-wait", action="store_true")
    parser.add_argument("--variant", action="append", nargs=2, default=[])
    wanted = parser.parse_args()
    global _go_on_behind
    _go_on_behind = wanted.no_wait
    print("digest", straight := train(wanted.store, _fate(wanted.kill_at, wanted.term_at), ""))
    for variant, step in wanted.variant:
        place = wanted.store.with_name(variant)
        print(
            variant,
            *_stopped_and_resumed(train, place, variant, int(step), train(place / "straight", _fate(-1, -1), variant)),
        )
    if wanted.behind >= 0:
        _go_on_behind = True
        print("behind", *_stopped_and_resumed(train, wanted.store.with_name("behind"), "", wanted.behind, straight))


def _fate(kill_at: int, term_at: int) -> Callable[[int], None]:
    def at_step(step: int) -> None:
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if step == term_at:
            os.kill(os.getpid(), signal.SIGTERM)

    return at_step


def _stopped_and_resumed(train: Train, place: Path, variant: str, term_at: int, straight: str) -> tuple[str, str]:
    """Return whether a training that was stopped and resumed with new objects ended alike, and the promised grade."""
    store = place / "stopped"
    with pytest.raises(SystemExit) as stopped:
        train(store, _fate(-1, term_at), variant)
    assert stopped.value.code == 128 + signal.SIGTERM
    grade = CheckpointStore(store).choose(RUN).manifest.grade
    return "same" if train(store, _fate(-1, -1), variant) == straight else "differs", grade


def the_same_end(story: Story) -> None:
    assert story.straight.code == 0, story.straight.err
    assert story.finished.code == 0, story.finished.err
    assert story.finished.digest == story.straight.digest


def killed_without_a_word(story: Story) -> None:
    assert story.killed.code == -signal.SIGKILL, story.killed.err


def fell_back(story: Story, to: int) -> None:
    assert f"skipped {RUN}@{story.damaged}: " in story.terminated.err
    assert f"{RUN}@{to}" in story.terminated.err


def saved_first(story: Story, at: int) -> None:
    """The SIGTERM at a step was answered by a checkpoint, and exit code 143."""
    assert story.terminated.code == 128 + signal.SIGTERM, story.terminated.err
    assert "digest" not in story.terminated.out
    assert story.terminated.steps[-1] == at
    assert f"SIGTERM: saved {RUN}@{at}, ending" in story.terminated.err
