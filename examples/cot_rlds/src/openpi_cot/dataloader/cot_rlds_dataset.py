"""The first level: one RLDS dataset as a tf.data pipeline, and an iterator over it whose position can be saved."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from ckptkit_tfdata import PersistentIterator
from ckptkit_tfdata.indexed import IndexedRecords, shuffled_indices, without_read_ahead
from ckptkit_tfdata.tfrecord import record_offsets

from ckptkit import DamagedError
from openpi_cot.dataloader.episode_index import EpisodeIndex, Spread
from openpi_cot.training.config import DataConfig

STATE_DIM = 7
ACTION_DIM = 7
_FEATURES = {
    "episode_metadata/episode_id": tf.io.FixedLenFeature([], tf.int64),
    "steps/observation/state": tf.io.FixedLenSequenceFeature([STATE_DIM], tf.float32, allow_missing=True),
    "steps/action": tf.io.FixedLenSequenceFeature([ACTION_DIM], tf.float32, allow_missing=True),
    "steps/language_action": tf.io.FixedLenSequenceFeature([], tf.string, allow_missing=True),
}


class _SingleCoTDataset:
    """Frames of one dataset: what the robot sees, what it should do next, and why in words.

    Args:
        config: of the data.
        index: the episodes to read.
        batch_size: frames in a batch.
        shuffle: whether in a new random order in each epoch.
        seed: of that order.
        repeat: for ever, or one epoch.

    Raises:
        NotFoundError: a shard is missing.
        DamagedError: a shard's framing is damaged, or it does not hold the episodes that the index lists.
    """

    def __init__(
        self, config: DataConfig, index: EpisodeIndex, *, batch_size: int, shuffle: bool, seed: int, repeat: bool
    ) -> None:
        self.config, self.index = config, index
        self._batch_size, self._shuffle, self._seed, self._repeat = batch_size, shuffle, seed, repeat
        self._records = IndexedRecords(index.paths)
        for path, listed, found in zip(index.paths, index.per_shard, self._records.counts, strict=True):
            if listed != found:
                raise DamagedError(
                    f"{path}: holds {found} episodes, and dataset_info.json lists {listed}",
                    hint="make the dataset anew: python make_episodes.py",
                )
        if index.frames < batch_size:
            raise ValueError(f"batch_size {batch_size} is more than the {index.frames} frames that there are")

    def create_checkpointable_iterator(self, settings: Mapping[str, Any] | None = None) -> PersistentIterator:
        """Return an iterator over the batches, at the first one, that ckptkit saves and puts back.

        Args:
            settings: what it is made from; a state of other settings is refused field by field.
        """
        return PersistentIterator(self.dataset, record_files=self.index.paths, settings=settings)

    def dataset(self) -> tf.data.Dataset:
        """Return the pipeline; every call builds an equal one.

        Elements are ``{"observation": {...}, "actions": (batch, horizon, 7) float32}``; the observation holds ``state``
        (batch, 1, 7) float32, ``tokenized_reasoning`` (batch, tokens) uint8 and ``frame_id`` (batch, 2) int64, which
        is the episode's number and the step in it.
        """
        frames = self._by_indices() if self.config.shuffle_by == "indices" else self._by_frames()
        batches = frames.batch(self._batch_size, drop_remainder=True)
        return batches.prefetch(self.config.prefetch) if self.config.prefetch else without_read_ahead(batches)

    def check_records(self) -> None:
        """Read all shards and raise DamagedError for the first record that does not match its checksum."""
        for path in self.index.paths:
            record_offsets(path, contents=True)

    def _by_indices(self) -> tf.data.Dataset:
        """Numbers of frames, shuffled; each frame is read after that, from its episode's record."""
        ends = tf.cumsum(tf.constant(self.index.lengths, tf.int64))
        starts = tf.concat([[0], ends[:-1]], 0)

        def read(number: tf.Tensor) -> tf.data.Dataset:
            episode = tf.searchsorted(ends, [number], side="right")[0]
            step = number - tf.gather(starts, episode)
            return self._records.at(tf.cast(episode, tf.int64)).map(lambda record: self._frame(_parsed(record), step))

        seed = self._seed if self._shuffle else None
        numbers = shuffled_indices(self.index.frames, seed=seed, epochs=None if self._repeat else 1)
        return numbers.flat_map(read)

    def _by_frames(self) -> tf.data.Dataset:
        """Episodes one after the other from all shards in turn, cut into frames, shuffled in a window."""
        paths = tf.data.Dataset.from_tensor_slices([str(path) for path in self.index.paths])
        records = paths.interleave(tf.data.TFRecordDataset, cycle_length=len(self.index.paths))

        def cut(record: tf.Tensor) -> tf.data.Dataset:
            episode = _parsed(record)
            steps = tf.data.Dataset.range(tf.shape(episode["steps/action"], tf.int64)[0])
            return steps.map(lambda step: self._frame(episode, step))

        frames = records.flat_map(cut)
        if self._shuffle:
            frames = frames.shuffle(self.config.shuffle_buffer_size, seed=self._seed)
        return frames.repeat() if self._repeat else frames

    def _frame(self, episode: dict[str, tf.Tensor], step: tf.Tensor) -> dict[str, Any]:
        states = _normalised(episode["steps/observation/state"], self.index.statistics["state"])
        actions = _normalised(episode["steps/action"], self.index.statistics["action"])
        horizon = self.config.action_horizon
        chunk = tf.minimum(step + tf.range(horizon, dtype=tf.int64), tf.shape(actions, tf.int64)[0] - 1)
        words = tf.gather(episode["steps/language_action"], step)
        tokens = tf.io.decode_raw(words, tf.uint8, fixed_length=self.config.max_token_len)
        return {
            "observation": {
                "state": tf.reshape(tf.gather(states, step), [1, STATE_DIM]),
                "tokenized_reasoning": tf.reshape(tokens, [self.config.max_token_len]),
                "frame_id": tf.stack([episode["episode_metadata/episode_id"], step]),
            },
            "actions": tf.reshape(tf.gather(actions, chunk), [horizon, ACTION_DIM]),
        }


def _parsed(record: tf.Tensor) -> dict[str, tf.Tensor]:
    return tf.io.parse_single_example(record, _FEATURES)


def _normalised(values: tf.Tensor, spread: Spread) -> tf.Tensor:
    return (values - tf.constant(spread.mean, tf.float32)) / tf.constant(spread.std, tf.float32)
