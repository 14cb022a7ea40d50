"""Leaks that are no run of frames: permuted, thinned out, single frames in two splits, one half of the frames, NaN."""

import json
import math
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from ckptkit_data import DatasetLeakageTester
from ckptkit_data.writing import Recording, write_dataset
from data_planting import EXAMPLE, codes, findings, module, one, spoil

F = 60  # frames of each episode
BOTH = ("observation.state", "action")
MINIMAL = EXAMPLE / "src/data_processing/minimal_dataset_leakage_tester.py"
make_dataset = module(EXAMPLE / "make_dataset.py").make_dataset
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pendulum episodes, the last two for validation, each in a file of its own."""
    root = tmp_path_factory.mktemp("recorded") / "clean"
    return Path(make_dataset(root, "Pendulum-v1", 8, "v2.1", validation=2, max_steps=F))


@pytest.fixture
def root(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "dataset"))


def copied(pairs: list[tuple[int, int]], columns: tuple[str, ...] = BOTH) -> Callable[[Rows], None]:
    """Return a change that copies some columns from rows to rows."""

    def change(rows: Rows) -> None:
        taken = [{name: rows[source][name] for name in columns} for source, _ in pairs]
        for (_, target), values in zip(pairs, taken, strict=True):
            rows[target].update(values)

    return change


def permuted(source: int, target: int) -> list[tuple[int, int]]:
    order = random.Random(0).sample(range(F), F)
    return [(source * F + order[n], target * F + n) for n in range(F)]


def alternate(source: int, target: int, count: int) -> list[tuple[int, int]]:
    return [(source * F + 2 * n, target * F + 2 * n) for n in range(count)]


def minimal(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, MINIMAL, "--dataset-root", root], capture_output=True, text=True, timeout=60)


ACROSS = {
    "all frames, permuted": (permuted(0, 6), F),
    "every second frame": (alternate(0, 6, F // 2), F // 2),
    "20 alternate frames": (alternate(0, 6, 20), 20),
    "a single frame": ([(5, 6 * F + 50)], 1),
}


@pytest.mark.parametrize("what", ACROSS)
def test_a_frame_of_train_that_is_in_val_is_an_error_wherever_it_is(what: str, root: Path) -> None:
    pairs, count = ACROSS[what]
    spoil(root, copied(pairs))
    found = one(root, "data-split-leak")
    assert (found.severity, found.episode, found.other_episode, found.length) == ("error", 6, 0, count)
    assert "'train' and 'val'" in found.message
    done = minimal(root)
    assert done.returncode == 1
    assert f"{count} frames of episode 6 (val) are in episode 0 (train) too" in done.stdout


def test_shared_frames_are_counted_per_pair_in_any_order(root: Path) -> None:
    spoil(root, copied([*permuted(0, 3), *alternate(1, 4, 20)]))
    found = {(f.episode, f.other_episode, f.length) for f in findings(root) if f.code == "data-shared-frames"}
    assert found == {(3, 0, F), (4, 1, 20)}


def test_frames_that_a_run_has_told_are_not_counted_again(root: Path) -> None:
    spoil(root, copied([(n, 3 * F + n) for n in range(10)] + [(20 + 2 * n, 3 * F + 20 + 2 * n) for n in range(12)]))
    found = sorted(f.length or 0 for f in findings(root) if f.code == "data-shared-frames")
    assert found == [10, 12]


HALVES = {
    "the same actions": ("action", [(F + n, 5 * F + n) for n in range(F)], "data-shared-actions"),
    "a part of the actions": ("action", [(F + n, 5 * F + 9 + n) for n in range(20)], "data-shared-actions"),
    "permuted actions": ("action", permuted(1, 5), "data-shared-actions"),
    "permuted observations": ("observation.state", permuted(1, 5), "data-shared-observations"),
    "alternate observations": ("observation.state", alternate(1, 5, 20), "data-shared-observations"),
}


@pytest.mark.parametrize("what", HALVES)
def test_observations_and_actions_are_compared_each_on_their_own(what: str, root: Path) -> None:
    column, pairs, code = HALVES[what]
    spoil(root, copied(pairs, (column,)))
    found = one(root, code)
    assert (found.severity, found.episode, found.other_episode) == ("error", 5, 1)
    assert 0.9 * len(pairs) <= (found.length or 0) <= len(pairs)  # of equal torques, at the limit, one is counted
    assert codes(root) == {code}


def test_actions_of_train_that_are_in_val_are_a_leak(root: Path) -> None:
    spoil(root, copied([(F + n, 6 * F + n) for n in range(F)], ("action",)))
    assert one(root, "data-split-leak").message == f"'train' and 'val' share {F} actions: episode 1 and episode 6"


def test_two_episodes_with_the_same_few_buttons_in_a_row_are_no_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    episodes = [
        Recording({"observation.state": rng.normal(size=(F, 3)), "action": rng.integers(0, 18, F)}) for _ in range(60)
    ]
    assert findings(write_dataset(tmp_path / "dataset", episodes, fps=10)) == []


def test_an_episode_that_repeats_another_ones_few_buttons_is_a_warning(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    buttons = [rng.integers(0, 3, F) for _ in range(6)]
    buttons[4] = buttons[2]
    episodes = [Recording({"observation.state": rng.normal(size=(F, 3)), "action": pressed}) for pressed in buttons]
    found = one(write_dataset(tmp_path / "dataset", episodes, fps=10), "data-shared-actions")
    assert (found.severity, found.episode, found.other_episode) == ("warning", 4, 2)


def resting(tmp_path: Path, **more: Any) -> Path:
    """Record an arm with whole-number joint angles that rests in one pose at the start of each episode."""
    rng = np.random.default_rng(0)
    episodes = []
    for _ in range(8):
        angles = np.round(np.concatenate([np.zeros((10, 6)), rng.normal(0, 500, (50, 6)).cumsum(axis=0)]))
        episodes.append(Recording({"observation.state": angles[:-1], "action": angles[1:], **more}))
    return write_dataset(tmp_path / "dataset", episodes, fps=10, splits={"train": "0:6", "val": "6:8"})


def test_a_pose_of_rest_in_two_splits_is_told_and_allowed_on_request(tmp_path: Path) -> None:
    root = resting(tmp_path)
    assert codes(root) == {"data-duplicate-frames", "data-split-leak"}
    tester = DatasetLeakageTester(root, allow_shared_frames=1)
    assert tester.run_all_tests()["split_leakage"].passed
    assert tester.run_all_tests()["split_leakage"].measures["frames_in_two_splits"] == 1


def test_a_grid_world_passes_once_its_frames_may_be_shared(tmp_path: Path) -> None:
    env = gymnasium.make("FrozenLake-v1", max_episode_steps=40)
    env.action_space.seed(0)
    episodes = []
    for seed in range(12):
        seen, done, of = [env.reset(seed=seed)[0]], [], False
        while not of:
            done.append(env.action_space.sample())
            state, _, fell, late, _ = env.step(done[-1])
            seen.append(state)
            of = fell or late
        episodes.append(Recording({"observation.state": np.array(seen[:-1]), "action": np.array(done)}))
    root = write_dataset(tmp_path / "dataset", episodes, fps=10, splits={"train": "0:9", "val": "9:12"})
    assert "data-split-leak" in codes(root)
    found = findings(root, min_run=1000, allow_shared_frames=1000)
    assert [f for f in found if f.severity == "error"] == []


def test_frames_that_differ_in_their_videos_perhaps_are_a_warning(tmp_path: Path) -> None:
    root = resting(tmp_path)
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"]["observation.images.front"] = {"dtype": "video", "shape": [48, 64, 3], "names": None}
    path.write_text(json.dumps(info))
    found = [f for f in findings(root) if f.code == "data-split-leak"]
    assert {f.severity for f in found} == {"warning"}
    assert "as far as can be seen without the videos" in found[0].message
    assert minimal(root).returncode == 0


def test_a_leak_is_seen_across_many_episodes_of_no_split(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=4)
    episodes = []
    for _ in range(40):
        values = rng.normal(size=(6, 4))
        values[3] = shared
        episodes.append(Recording({"observation.state": values, "action": values}))
    root = write_dataset(tmp_path / "dataset", episodes, fps=10, splits={"train": "0:1", "val": "39:40"})
    found = one(root, "data-split-leak")
    assert (found.episode, found.frame, found.other_episode, found.other_frame) == (39, 3, 0, 3)


@pytest.mark.parametrize(("column", "value"), [("action", math.inf), ("observation.state", math.nan)])
def test_nan_and_infinity_are_errors_that_name_column_and_frame(column: str, value: float, root: Path) -> None:
    def change(rows: Rows) -> None:
        for row in rows[3 * F + 7 : 3 * F + 9]:
            row[column] = [row[column][0], value, 0.0] if column == "observation.state" else value

    spoil(root, change)
    found = one(root, "data-not-finite")
    assert (found.severity, found.episode, found.frame, found.length) == ("error", 3, 7, 2)
    assert f"'{column}' is NaN or infinite at offset 7 (and 1 more frame)" in found.message
    assert codes(root) == {"data-not-finite"}
    done = minimal(root)
    assert done.returncode == 1
    assert "episode 3: NaN or infinity at offset 7" in done.stdout


@pytest.mark.parametrize("episode", [3, 7])
def test_the_minimal_version_misses_an_episode_whose_file_is_gone(episode: int, root: Path) -> None:
    sorted((root / "data").rglob("*.parquet"))[episode].unlink()
    done = minimal(root)
    assert done.returncode == 1
    assert f"missing: {episode} (1 of 8 episodes of meta/info.json)" in done.stdout


def test_the_minimal_version_says_what_to_install_when_pyarrow_is_missing(root: Path) -> None:
    code = (
        "import sys, runpy\n"
        "sys.modules['pyarrow'] = None\n"
        f"sys.argv = ['minimal', '--dataset-root', {str(root)!r}]\n"
        f"runpy.run_path({str(MINIMAL)!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (7, "")
    assert "pip install pyarrow" in done.stderr
