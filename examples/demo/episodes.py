"""Record episodes of a gymnasium environment into TFRecord files, and read them back as a tf.data pipeline."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ENVIRONMENT = "CartPole-v1"
_SHARDS = 4


def record(folder: Path, episodes: int = 40, seed: int = 7) -> list[Path]:
    """Play episodes with a simple expert (push towards where the pole falls) and write one record per frame."""
    import gymnasium
    import numpy as np
    import tensorflow as tf

    folder.mkdir(parents=True, exist_ok=True)
    env = gymnasium.make(ENVIRONMENT)
    noise = np.random.default_rng(seed)
    paths = [folder / f"episodes-{shard:02d}.tfrecord" for shard in range(_SHARDS)]
    writers = [tf.io.TFRecordWriter(str(path)) for path in paths]
    for episode in range(episodes):
        observation, _ = env.reset(seed=seed + episode)
        done = False
        while not done:
            action = int(observation[2] + 0.5 * observation[3] > 0)
            if noise.random() < 0.1:  # a little exploration, so that the data is not all alike
                action = int(noise.integers(2))
            writers[episode % _SHARDS].write(_example(tf, observation, action))
            observation, _, terminated, truncated, _ = env.step(action)
            done = terminated or truncated
    for writer in writers:
        writer.close()
    return paths


def _example(tf: Any, observation: Any, action: int) -> bytes:
    feature = {
        "observation": tf.train.Feature(float_list=tf.train.FloatList(value=[float(x) for x in observation])),
        "action": tf.train.Feature(int64_list=tf.train.Int64List(value=[action])),
    }
    serialized: bytes = tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
    return serialized


def pipeline(paths: Sequence[Path], batch_size: int = 32) -> Callable[[], Any]:
    """Return a factory of the shuffled, repeated, batched, prefetched dataset: every call builds an equal one."""

    def build() -> Any:
        import tensorflow as tf

        spec = {
            "observation": tf.io.FixedLenFeature([4], tf.float32),
            "action": tf.io.FixedLenFeature([], tf.int64),
        }
        records = tf.data.TFRecordDataset([str(path) for path in paths])
        examples = records.map(lambda record: tf.io.parse_single_example(record, spec))
        return examples.shuffle(512, seed=11).repeat().batch(batch_size, drop_remainder=True).prefetch(2)

    return build
