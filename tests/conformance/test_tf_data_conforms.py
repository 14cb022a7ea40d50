"""The laws for ``tf-data``: a shuffled, repeated, batched and prefetched pipeline, over more than one epoch."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import changed_pipelines
import pytest
from ckptkit_tfdata import PersistentIterator, TfDataBackend

from ckptkit.backend import Grade
from ckptkit.testing import BackendTests
from ckptkit.testing.laws_snapshot import SnapshotLaws

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")


def shuffled(seed: int = 3, prefetched: int = 1) -> Any:
    import tensorflow as tf

    numbers = tf.data.Dataset.range(20).shuffle(8, seed=seed).repeat()
    batches = numbers.map(lambda n: {"n": n, "half": tf.cast(n, tf.float32) / 2}).batch(4)
    if prefetched:
        return batches.prefetch(prefetched)
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False  # else TensorFlow adds what was left out,
    options.experimental_optimization.apply_default_optimizations = False  # and lets threads decide how much is ready
    return batches.with_options(options)


def in_no_fixed_order() -> Any:
    import tensorflow as tf

    options = tf.data.Options()
    options.deterministic = False  # nothing runs in parallel here, so nothing depends on it
    return shuffled().map(lambda row: row).with_options(options)


def shuffled_without_a_seed() -> Any:
    import tensorflow as tf

    return tf.data.Dataset.range(20).shuffle(1).batch(4).repeat().map(lambda n: {"n": n})  # one place: no other order


class TestTfData(BackendTests):
    backend = TfDataBackend
    steps = 7  # an epoch has five batches
    skips: ClassVar = {
        law: "how much prefetch holds is a matter of timing: see TestTfDataSnapshots"
        for law in vars(SnapshotLaws)
        if law.startswith("test_")
    }

    def make_item(self) -> PersistentIterator:
        return PersistentIterator(shuffled)

    def make_misfit(self) -> PersistentIterator:
        return PersistentIterator(lambda: shuffled(seed=4))

    def lesser_items(self) -> Mapping[Grade, Callable[[], PersistentIterator]]:
        return {
            "until": lambda: PersistentIterator(shuffled_without_a_seed),
            "partial": lambda: PersistentIterator(in_no_fixed_order),
        }

    def changed_items(self) -> Mapping[str, changed_pipelines.Story]:
        return changed_pipelines.stories()

    def advance(self, item: PersistentIterator) -> object:
        return {name: value.numpy() for name, value in next(item).items()}, item.batches_seen

    def ablations(self) -> Mapping[str, Callable[[Path], None]]:
        def lose_the_position(folder: Path) -> None:
            for old in folder.glob("iterator.*"):
                old.unlink()
            PersistentIterator(shuffled).held().write(folder / "iterator")

        def lose_the_definition(folder: Path) -> None:
            state_file = folder / "tfdata.json"
            state_file.write_text(json.dumps(json.loads(state_file.read_text()) | {"fingerprint": "0" * 64}))

        return {"the position": lose_the_position, "the definition": lose_the_definition}

    def factories(self) -> Mapping[str, Callable[[], Any]]:
        return {"dataset": shuffled}


class TestTfDataSnapshots(SnapshotLaws):
    backend = TfDataBackend
    steps = 7

    def make_item(self) -> PersistentIterator:
        return PersistentIterator(lambda: shuffled(prefetched=0))

    def advance(self, item: PersistentIterator) -> object:
        return {name: value.numpy() for name, value in next(item).items()}, item.batches_seen
