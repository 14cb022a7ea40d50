"""`rejection_resample` draws inside of TensorFlow, so it cannot be saved: what the refusal advises instead is exact."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
import tensorflow as tf
from ckptkit_tfdata import PersistentIterator

from ckptkit import CheckpointStore
from ckptkit.errors import BackendError

Data = tf.data.Dataset
SAVE_AT, STEPS = 7, 17


def kind(x: Any) -> Any:
    return tf.cast(x % 3 == 0, tf.int32)


def source() -> Any:
    return Data.range(300).shuffle(50, seed=1).repeat(2)


def resampled() -> Any:
    """The initial distribution is estimated on the way: more state inside of TensorFlow."""
    found = source().rejection_resample(kind, target_dist=[0.5, 0.5], seed=3)
    return found.map(lambda _, x: x).batch(4)


def sampled() -> Any:
    """As the refusal says: a dataset for each class, with the target as weights."""
    parts = [source().filter(lambda x, c=c: kind(x) == c) for c in range(2)]
    return Data.sample_from_datasets(parts, weights=[0.5, 0.5], seed=3, stop_on_empty_dataset=True).batch(4)


def filtered() -> Any:
    """As the refusal says: the same rejection, with a stateless draw from a seed in the data."""
    accept, seeds = tf.constant([0.5, 1.0]), Data.random(seed=3).batch(2)
    pairs = Data.zip((source(), seeds))
    kept = pairs.filter(lambda x, seed: tf.random.stateless_uniform([], seed=seed) < tf.gather(accept, kind(x)))
    return kept.map(lambda x, _: x).batch(4)


ADVISED: dict[str, Callable[[], Any]] = {"sampled": sampled, "filtered": filtered}


def take(batches: Any, count: int) -> list[list[int]]:
    return [next(batches).numpy().tolist() for _ in range(count)]


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what live runs take after their saves, and what a new process takes that follows the advice."""
    root = tmp_path_factory.mktemp("store")
    live = {}
    for name, make in ADVISED.items():
        batches = PersistentIterator(make)
        take(batches, SAVE_AT)
        CheckpointStore(root).save(name, SAVE_AT, {"data": batches})
        live[name] = take(batches, STEPS)
    batches = iter(resampled())
    take(batches, SAVE_AT)
    live["skipped"] = take(batches, STEPS)
    done = subprocess.run([sys.executable, __file__, str(root)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return live, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", [*ADVISED, "skipped"])
def test_what_is_advised_goes_on_exactly_in_a_new_process(name: str, resumed: Any) -> None:
    live, new = resumed
    assert new[name] == live[name]


def test_the_refusal_says_what_can_be_done_instead(tmp_path: Path) -> None:
    batches = PersistentIterator(resampled)
    take(batches, 2)
    with pytest.raises(BackendError, match=r"RandomUniform is stateful") as caught:
        CheckpointStore(tmp_path).save("r", 2, {"data": batches})
    hint = caught.value.hint
    assert "rejection_resample" in hint
    assert "sample_from_datasets" in hint
    assert "skip(batches_seen)" in hint


def main(root: str) -> None:
    found: dict[str, Any] = {"skipped": take(iter(resampled().skip(SAVE_AT)), STEPS)}
    for name, make in ADVISED.items():
        batches = PersistentIterator(make)
        CheckpointStore(root).restore(name, into={"data": batches})
        found[name] = take(batches, STEPS)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
