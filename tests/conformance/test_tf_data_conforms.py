"""The laws for ``tf-data``: a shuffled, repeated, batched and prefetched pipeline, over more than one epoch."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ckptkit_tfdata import PersistentIterator, TfDataBackend

from ckptkit.testing import BackendTests

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")


def shuffled(seed: int = 3) -> Any:
    import tensorflow as tf

    numbers = tf.data.Dataset.range(20).shuffle(8, seed=seed).repeat()
    return numbers.map(lambda n: {"n": n, "half": tf.cast(n, tf.float32) / 2}).batch(4).prefetch(1)


class TestTfData(BackendTests):
    backend = TfDataBackend
    steps = 7  # an epoch has five batches

    def make_item(self) -> PersistentIterator:
        return PersistentIterator(shuffled)

    def make_misfit(self) -> PersistentIterator:
        return PersistentIterator(lambda: shuffled(seed=4))

    def advance(self, item: PersistentIterator) -> object:
        return {name: value.numpy() for name, value in next(item).items()}, item.batches_seen

    def factories(self) -> Mapping[str, Callable[[], Any]]:
        return {"dataset": shuffled}
