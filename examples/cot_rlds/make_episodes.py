"""Record real gymnasium rollouts as RLDS episodes in TFRecord shards: python make_episodes.py [--data-dir DIR].

An expert swings the two-link Acrobot up by torque against the first joint's velocity. Each record is one episode, as
TFDS writes RLDS: the steps' fields flattened under ``steps/...``. A step's state has 7 numbers (cosine and sine of both
joints, their velocities, the last torque), its action too (movement of the tip in x and y, of both joints, change of
both velocities, torque), and its language action is what the expert thinks in words.
"""

import argparse
import json
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

import gymnasium
import numpy as np
from openpi_cot.dataloader.episode_index import INFO, NAME, VERSION, dataset_folder

ENVIRONMENT = "Acrobot-v1"
INSTRUCTION = "swing the tip above the bar"
SHARDS = {"train": 4, "val": 1}
EPISODES = {"train": 48, "val": 8}
DEFAULT_DATA = Path(__file__).resolve().parent / "data"


def record(data_dir: Path, seed: int = 7) -> Path:
    """Play the episodes, write the shards and ``dataset_info.json``, and return the dataset's folder."""
    import tensorflow as tf

    folder = dataset_folder(data_dir)
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")  # renamed when whole: no half-made dataset
    partial.mkdir(parents=True)
    splits = []
    states: list[np.ndarray] = []
    actions: list[np.ndarray] = []
    number = 0
    for split, shards in SHARDS.items():
        listed: list[dict[str, Any]] = []
        for shard in range(shards):
            name = f"{NAME}-{split}.tfrecord-{shard:05d}-of-{shards:05d}"
            lengths = []
            with tf.io.TFRecordWriter(str(partial / name)) as writer:
                for _ in range(EPISODES[split] // shards):
                    episode = play(seed + number)
                    writer.write(example(tf, episode, number))
                    lengths.append(len(episode["rewards"]))
                    states.append(episode["states"])
                    actions.append(episode["actions"])
                    number += 1
            listed.append({"file": name, "episode_lengths": lengths})
        splits.append({"name": split, "shards": listed})
    statistics = {"state": spread(np.concatenate(states)), "action": spread(np.concatenate(actions))}
    info = {"name": NAME, "version": VERSION, "fileFormat": "tfrecord", "environment": ENVIRONMENT, "seed": seed}
    (partial / INFO).write_text(json.dumps({**info, "splits": splits, "statistics": statistics}, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return folder


def play(seed: int) -> dict[str, Any]:
    """Play one episode; returns states (T, 7), actions (T, 7), rewards (T), thoughts (T) and whether it succeeded."""
    env = gymnasium.make(ENVIRONMENT)
    noise = np.random.default_rng(seed)
    raw, _ = env.reset(seed=seed)
    states, actions, rewards, thoughts = [], [], [], []
    torque, terminated, truncated = 0.0, False, False
    while not (terminated or truncated):
        choice = 0 if raw[4] > 0 else 2
        if noise.random() < 0.15:  # a little exploration, so that the data is not all alike
            choice = int(noise.integers(3))
        states.append([*raw, torque])
        torque = choice - 1.0
        after, reward, terminated, truncated, _ = env.step(choice)
        actions.append([*difference(raw, after), torque])
        rewards.append(float(reward))
        thoughts.append(f"tip {'up' if actions[-1][1] > 0 else 'down'}, torque {('left', 'none', 'right')[choice]}")
        raw = after
    return {
        "states": np.asarray(states, np.float32),
        "actions": np.asarray(actions, np.float32),
        "rewards": rewards,
        "thoughts": thoughts,
        "terminated": terminated,
    }


def difference(before: np.ndarray, after: np.ndarray) -> list[float]:
    """Return how tip, joints and velocities moved between two observations."""
    (x0, y0, *old), (x1, y1, *new) = pose(before), pose(after)
    return [x1 - x0, y1 - y0, *(math.remainder(b - a, math.tau) for a, b in zip(old, new, strict=True)),
            float(after[4] - before[4]), float(after[5] - before[5])]  # fmt: skip


def pose(raw: np.ndarray) -> tuple[float, float, float, float]:
    """Return the tip's x and y (links of length 1, bar at the origin) and the angles of both joints."""
    first, second = math.atan2(raw[1], raw[0]), math.atan2(raw[3], raw[2])
    x, y = math.sin(first) + math.sin(first + second), -math.cos(first) - math.cos(first + second)
    return x, y, first, second


def spread(values: np.ndarray) -> dict[str, list[float]]:
    """Return mean and standard deviation of each column, for the loader to normalise with."""
    return {"mean": values.mean(axis=0).tolist(), "std": np.maximum(values.std(axis=0), 1e-3).tolist()}


def example(tf: Any, episode: dict[str, Any], number: int) -> bytes:
    """Return one episode as a serialized tf.train.Example."""
    steps = len(episode["rewards"])

    def floats(values: Any) -> Any:
        return tf.train.Feature(float_list=tf.train.FloatList(value=np.ravel(values)))

    def whole(values: Any) -> Any:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    def texts(values: list[str]) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))

    feature = {
        "episode_metadata/episode_id": whole([number]),
        "steps/observation/state": floats(episode["states"]),
        "steps/action": floats(episode["actions"]),
        "steps/language_instruction": texts([INSTRUCTION] * steps),
        "steps/language_action": texts(episode["thoughts"]),
        "steps/reward": floats(episode["rewards"]),
        "steps/discount": floats([1.0] * steps),
        "steps/is_first": whole([1] + [0] * (steps - 1)),
        "steps/is_last": whole([0] * (steps - 1) + [1]),
        "steps/is_terminal": whole([0] * (steps - 1) + [int(episode["terminated"])]),
    }
    serialized: bytes = tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
    return serialized


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=DEFAULT_DATA, help="where datasets go (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    folder = record(args.data_dir, args.seed)
    print(f"recorded {sum(EPISODES.values())} episodes of {ENVIRONMENT} in {sum(SHARDS.values())} shards: {folder}")


if __name__ == "__main__":
    main()
