"""The recipe for small checkpoints: shuffle the numbers of records, and read each record only after that.

A shuffle of records keeps its whole buffer in every checkpoint. A shuffle of numbers needs no buffer at all: the order
of an epoch is a keyed permutation (``tf.random.experimental.index_shuffle``), computed for one number at a time, so the
state of the iterator is one counter. It is also a better shuffle: over all of the data, not over a window of it.
"""

import os
from collections.abc import Sequence
from typing import Any

from ckptkit.errors import UsageError
from ckptkit_tfdata.lazy_import import tensorflow
from ckptkit_tfdata.tfrecord import record_offsets

_ENDLESS = 1 << 62
_READ_BUFFER = 1 << 16  # bytes; TensorFlow's 256 KiB would be read for each record, however small


def shuffled_indices(count: int, *, seed: int | None, epochs: int | None = None) -> Any:
    """Return a ``tf.data.Dataset`` of the numbers 0 to count-1 (int64), in an order that is new in each epoch.

    Args:
        count: how many numbers there are.
        seed: of the order; None leaves them in order.
        epochs: how often all of them come; None is for ever.

    Raises:
        UsageError: ``count`` or ``epochs`` is less than 1.
    """
    if count < 1 or (epochs is not None and epochs < 1):
        raise UsageError(f"{count} records, {epochs} epochs: both must be 1 or more", hint="is the data empty?")
    tf = tensorflow()
    numbers = tf.data.Dataset.range(_ENDLESS if epochs is None else count * epochs)

    def place(number: Any) -> Any:
        epoch, index = number // count, number % count
        if seed is None:
            return index
        key = tf.stack([tf.constant(seed, tf.int64), epoch])
        return tf.random.experimental.index_shuffle(index, key, tf.constant(count - 1, tf.int64))

    return numbers.map(place)


def without_read_ahead(dataset: Any) -> Any:
    """Return the dataset without the prefetch that TensorFlow adds by itself: its batches are in every checkpoint."""
    options = tensorflow().data.Options()
    options.experimental_optimization.inject_prefetch = False
    return dataset.with_options(options)


class IndexedRecords:
    """The records of uncompressed TFRecord files, each to be had by its number, inside a tf.data pipeline.

    Reading one costs opening its file and reading that record; TensorFlow compares its checksum.

    Args:
        paths: of the files; the records are numbered through them in this order.

    Raises:
        NotFoundError: a file is missing.
        DamagedError: the framing of a file is damaged.

    Example:
        >>> records = IndexedRecords(paths)
        >>> frames = shuffled_indices(len(records), seed=1).flat_map(records.at).map(parse)
        >>> dataset = without_read_ahead(frames.batch(32))
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        self.paths = [os.fspath(path) for path in paths]
        self.counts: list[int] = []
        self._offsets: list[int] = []
        for path in self.paths:
            offsets = record_offsets(path)
            self.counts.append(len(offsets))
            self._offsets += offsets

    def __len__(self) -> int:
        return len(self._offsets)

    def at(self, number: Any) -> Any:
        """Return a ``tf.data.Dataset`` of the one record (a string) of that number (int64 scalar); for ``flat_map``."""
        tf = tensorflow()
        files = [path for path, count in zip(self.paths, self.counts, strict=True) for _ in range(count)]
        variant = tf.raw_ops.TFRecordDatasetV2(
            filenames=[tf.gather(tf.constant(files), number)],
            compression_type="",
            buffer_size=tf.constant(_READ_BUFFER, tf.int64),
            byte_offsets=[tf.gather(tf.constant(self._offsets, tf.int64), number)],
        )
        return tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string)).take(1)
