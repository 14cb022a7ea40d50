"""The Keras hook, with a small net in processes of their own; this file is their training script as well."""

import hashlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # as a program, this file lies outside every package

from ckptkit import CheckpointStore, Retain, Schedule
from tests.plugins import hooks_story
from tests.plugins.hooks_story import RUN, Story

pytestmark = pytest.mark.slow

EPOCHS, STEPS = 4, 6
VARIANTS = {"arrays": 12, "arrays-mid-epoch": 9}


def make_model() -> Any:
    import keras

    layers = keras.layers
    net = [keras.Input((4,)), layers.Dense(16), layers.BatchNormalization(), layers.Dropout(0.2), layers.Dense(1)]
    model = keras.Sequential(net)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, 100)), "mse")
    return model


def dataset() -> Any:
    import numpy as np
    import tensorflow as tf

    rows = np.random.default_rng(1).normal(size=(40, 4)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((rows, rows.sum(1, keepdims=True))).shuffle(40, seed=2).repeat().batch(4)


def train(store: Path, at_step: Callable[[int], None], variant: str) -> str:
    import keras
    import tensorflow as tf
    from ckptkit_hooks.keras_ import CheckpointCallback
    from ckptkit_tfdata import PersistentIterator

    class Tell(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            at_step(int(self.model.optimizer.iterations))

    logging.basicConfig(level=logging.INFO)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    keras.utils.set_random_seed(0)
    model = make_model()
    schedule, wait = Schedule(every_steps=4, every_epochs=1), hooks_story.waits()
    hook = CheckpointCallback(store, RUN, schedule=schedule, retain=Retain(last=2), wait=wait)
    slower = keras.callbacks.EarlyStopping("loss", patience=50)
    if variant.startswith("arrays"):
        x, y = next(iter(dataset().unbatch().batch(24)))
        hook = CheckpointCallback(store, RUN, retain=Retain(last=2))
        hook.fit(model, x.numpy(), y.numpy(), epochs=EPOCHS, batch_size=4, callbacks=[Tell(), slower], verbose=0)
    else:
        batches = PersistentIterator(dataset)
        hook.fit(model, batches, epochs=EPOCHS, steps_per_epoch=STEPS, callbacks=[Tell(), slower], verbose=0)
    hasher = hashlib.sha256(f"{int(model.optimizer.iterations)} {slower.wait} {slower.best}".encode())
    for value in [*model.variables, *model.optimizer.variables]:
        hasher.update(keras.ops.convert_to_numpy(value).tobytes())
    return hasher.hexdigest()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    place = tmp_path_factory.mktemp("keras")
    return hooks_story.tell(__file__, place, kill_at=9, term_at=11, variants=VARIANTS)


def test_a_killed_and_resumed_run_ends_like_one_that_was_never_interrupted(story: Story) -> None:
    hooks_story.killed_without_a_word(story)
    hooks_story.the_same_end(story)


def test_a_damaged_newest_checkpoint_is_skipped_with_the_reason(story: Story) -> None:
    hooks_story.fell_back(story, to=6)


def test_sigterm_saves_first_and_ends_with_143(story: Story) -> None:
    hooks_story.saved_first(story, at=11)


def test_only_the_last_and_the_best_are_kept(story: Story) -> None:
    assert len(story.finished.steps) in (2,)
    assert story.finished.steps[-1] == 24


def test_everything_that_was_saved_verifies_and_is_graded_exact(story: Story) -> None:
    store = CheckpointStore(story.store)
    assert store.verify().exit_code == 0
    assert {listed.summary.grade for listed in store.list() if listed.summary} == {"complete"}


@pytest.mark.matrix
def test_a_run_whose_saves_go_on_behind_ends_like_one_that_waits_for_them(story: Story) -> None:
    assert story.behind == ("same", "complete")


@pytest.mark.matrix
def test_a_run_that_is_killed_while_its_saves_go_on_behind_comes_to_the_same_end(story: Story) -> None:
    hooks_story.killed_behind(story, __file__, kill_at=11)


def test_arrays_resume_exactly_between_epochs_and_are_graded_in_the_middle(story: Story) -> None:
    assert story.variants == {"arrays": ("same", "complete"), "arrays-mid-epoch": ("differs", "partial")}


def test_a_batch_that_fit_only_looked_at_is_given_again() -> None:
    from ckptkit_hooks.keras_feed import Feed

    feed = Feed(iter(range(9)))
    looked = feed._generate()
    assert [next(looked), next(looked)] == [0, 1]
    assert feed.ahead == 2
    trained = []
    for batch in feed._generate():
        trained.append(batch)
        feed.trained(1)
    assert trained == list(range(9))
    assert feed.ahead == 0


if __name__ == "__main__":
    hooks_story.main(train)
