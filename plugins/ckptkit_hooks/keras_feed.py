"""Batches of a persistent iterator for ``model.fit``, which asks as it likes: none is lost, none is given twice."""

from collections import deque
from collections.abc import Iterator
from typing import Any

from ckptkit.errors import BackendError


class Feed:
    """Gives ``fit`` a ``tf.data.Dataset`` over a persistent iterator.

    ``fit`` may look at a first batch and begin again. What it took and did not train on is therefore kept, and given
    again to whatever asks next.

    Args:
        batches: a ``ckptkit_tfdata.PersistentIterator``.
    """

    def __init__(self, batches: Any) -> None:
        self.batches = batches
        self._waiting: deque[Any] = deque()
        self._first = 0

    def trained(self, count: int) -> None:
        """Note that the next ``count`` batches were trained on."""
        for _ in range(count):
            self._waiting.popleft()
        self._first += count

    @property
    def ahead(self) -> int:
        """How many batches were taken but not trained on yet; at 0 the iterator's position is clean."""
        return len(self._waiting)

    def forget(self) -> None:
        """Drop what was only looked at: the iterator was moved to another position."""
        self._waiting.clear()

    @property
    def spec(self) -> Any:
        """What describes a batch: shapes and dtypes."""
        return self.batches.dataset_factory().element_spec

    def dataset(self) -> Any:
        """Return the dataset; it does not read ahead."""
        import tensorflow as tf

        dataset = tf.data.Dataset.from_generator(self._generate, output_signature=self.spec)
        options = tf.data.Options()
        options.autotune.enabled = False
        options.experimental_optimization.inject_prefetch = False
        return dataset.with_options(options)

    def _generate(self) -> Iterator[Any]:
        position = self._first
        while True:
            place = position - self._first
            if place < 0:
                raise BackendError("two loops take batches of one iterator", hint="give each fit its own")
            if place == len(self._waiting):
                try:
                    self._waiting.append(next(self.batches))
                except StopIteration:
                    return
            yield self._waiting[place]
            position += 1
