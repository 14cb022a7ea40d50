"""Every pipeline that can be resumed exactly is: several save/load cycles, also in a new process."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
import tensorflow as tf
from ckptkit_tfdata import PersistentIterator, TfDataBackend

from ckptkit.backend import GRADES, LoadContext, SaveContext, SavedItem, SnapshotContext

Data = tf.data.Dataset
BACKEND = TfDataBackend()


def double(x: Any) -> Any:
    return x * 2


def shuffled() -> Any:
    return Data.range(200).shuffle(50, seed=1).repeat().batch(8).prefetch(2)


def mapped() -> Any:
    return Data.range(200).map(double).repeat().batch(7)


def mapped_in_parallel() -> Any:
    return Data.range(200).shuffle(20, seed=3).map(double, num_parallel_calls=4).repeat().batch(5)


def interleaved() -> Any:
    return (
        Data.range(6).interleave(lambda x: Data.range(10).map(lambda y: x * 100 + y), cycle_length=3).repeat().batch(4)
    )


def sampled() -> Any:
    parts = [Data.range(50).repeat(), Data.range(1000, 1100).repeat()]
    return Data.sample_from_datasets(parts, weights=[0.3, 0.7], seed=5).batch(6)


def cached() -> Any:
    return Data.range(64).map(double).cache().shuffle(16, seed=2).repeat().batch(4)


def stateless_random() -> Any:
    seeds = Data.random(seed=9).batch(2, drop_remainder=True)
    return seeds.map(lambda s: tf.random.stateless_uniform((3,), seed=s)).batch(2)


def looked_up() -> Any:
    keys = tf.range(10, dtype=tf.int64)
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, keys * 7), -1)
    return Data.range(20).map(table.lookup).repeat().batch(3)


def structured() -> Any:
    dataset = Data.range(100).map(lambda x: {"x": tf.cast(x, tf.float32), "name": tf.strings.as_string(x), "n": (x, x)})
    return dataset.shuffle(9, seed=4).repeat().batch(4)


def ragged() -> Any:
    return Data.range(1, 60).map(tf.range).ragged_batch(4).repeat()


def tfrecords(folder: Path) -> Callable[[], Any]:
    for shard in range(3):
        path = folder / f"part-{shard}.tfrecord"
        if not path.exists():
            with tf.io.TFRecordWriter(str(path)) as writer:
                for row in range(30):
                    writer.write(f"{shard}:{row}".encode())
    files = [str(folder / f"part-{shard}.tfrecord") for shard in range(3)]

    def factory() -> Any:
        dataset = Data.from_tensor_slices(files).shuffle(3, seed=8)
        return dataset.interleave(tf.data.TFRecordDataset, cycle_length=2).shuffle(11, seed=6).repeat().batch(4)

    return factory


PIPELINES: dict[str, Callable[[], Any]] = {
    f.__name__: f
    for f in (
        shuffled,
        mapped,
        mapped_in_parallel,
        interleaved,
        sampled,
        cached,
        stateless_random,
        looked_up,
        structured,
        ragged,
    )
}


def take(iterator: PersistentIterator, count: int) -> list[str]:
    """Return a digest of each of the next batches."""
    found = []
    for _ in range(count):
        parts = tf.nest.flatten(next(iterator), expand_composites=True)
        found.append(hashlib.sha256(b"".join(tf.io.serialize_tensor(p).numpy() for p in parts)).hexdigest())
    return found


def context_of(directory: Path, saved: SavedItem, **more: Any) -> LoadContext:
    return LoadContext(
        files=sorted(p.name for p in directory.iterdir()), metadata=saved.metadata, probe=saved.probe, **more
    )


def saved_after(factory: Callable[[], Any], batches: int, directory: Path, **options: Any) -> SavedItem:
    iterator = PersistentIterator(factory, **options)
    for _ in range(batches):
        next(iterator)
    directory.mkdir(exist_ok=True)
    return BACKEND.save(iterator, directory, context=SaveContext(step=batches))


def test_the_bundle_is_what_tensorflow_itself_writes(tmp_path: Path) -> None:
    # Without prefetch, which TensorFlow adds by itself: how much it holds is a matter of timing.
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False
    made = tf.data.Dataset.range(99).shuffle(9, seed=1).repeat().batch(4).with_options(options)
    iterator = PersistentIterator(lambda: made)
    take(iterator, 5)
    iterator.held().write(tmp_path / "ours")
    with tf.device("CPU:0"):
        count = tf.Variable(5, dtype=tf.int64, trainable=False, name="batches_seen")
    tf.train.Checkpoint(iterator=iterator._iterator, batches_seen=count).write(str(tmp_path / "theirs"))
    for part in (".index", ".data-00000-of-00001"):
        assert (tmp_path / f"ours{part}").read_bytes() == (tmp_path / f"theirs{part}").read_bytes()


def _snapshot_later_written(iterator: PersistentIterator, directory: Path, *, context: SaveContext) -> SavedItem:
    """Save as a run does that goes on meanwhile."""
    pending = BACKEND.snapshot(iterator, context=SnapshotContext(step=context.step))
    take(iterator, 5)
    return pending.write(directory, context=context)


@pytest.mark.parametrize("name", [*PIPELINES, "tfrecords"])
def test_three_cycles_of_save_and_load_give_the_batches_of_an_uninterrupted_run(name: str, tmp_path: Path) -> None:
    factory = PIPELINES[name] if name in PIPELINES else tfrecords(tmp_path)
    expected = take(PersistentIterator(factory), 48)
    iterator = PersistentIterator(factory)
    got = take(iterator, 12)
    for cycle in range(3):
        directory = tmp_path / f"cycle {cycle}"
        directory.mkdir()
        saved = (_snapshot_later_written if cycle == 1 else BACKEND.save)(
            iterator, directory, context=SaveContext(step=cycle)
        )
        assert saved.captured.grade == GRADES[0]
        assert saved.counters == {"batches_seen": 12 * (cycle + 1)}
        context = context_of(directory, saved, factories={"dataset": factory})
        assert list(BACKEND.check(directory, context=context)) == []
        assert BACKEND.prove(directory, context=context).verdict == "same"
        iterator = BACKEND.load(directory, target=None, context=context)
        got += take(iterator, 12)
    assert got == expected
    assert iterator.batches_seen == 48


def test_a_new_process_goes_on_at_the_next_batch(tmp_path: Path) -> None:
    names = ("shuffled", "sampled", "cached", "interleaved")
    lines = []
    for name in names:
        uninterrupted = PersistentIterator(PIPELINES[name])
        take(uninterrupted, 30)
        lines += take(uninterrupted, 20)
        saved_after(PIPELINES[name], 30, tmp_path / name)
    script = f"""
import sys
from pathlib import Path
from test_tfdata_pipelines import *
for name in {names!r}:
    folder = Path(sys.argv[1], name)
    target = PersistentIterator(PIPELINES[name])
    context = LoadContext(files=[p.name for p in folder.iterdir()])
    print(*take(BACKEND.load(folder, target=target, context=context), 20), sep="\\n")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == lines


def test_saving_with_a_probe_does_not_disturb_the_live_run(tmp_path: Path) -> None:
    expected = take(PersistentIterator(shuffled), 80)
    iterator = PersistentIterator(shuffled)
    got = []
    for number in range(8):
        got += take(iterator, 10)
        directory = tmp_path / str(number)
        directory.mkdir()
        assert BACKEND.save(iterator, directory, context=SaveContext(step=number)).probe is not None
    assert got == expected


def test_the_probe_can_be_left_out(tmp_path: Path) -> None:
    iterator = PersistentIterator(shuffled)
    saved = BACKEND.save(iterator, tmp_path, context=SaveContext(step=0, probe=False))
    assert saved.probe is None
    proof = BACKEND.prove(tmp_path, context=context_of(tmp_path, saved, factories={"dataset": shuffled}))
    assert (proof.verdict, proof.reason) == ("unproven", "no probe was recorded")


def test_a_probe_without_a_dataset_factory_is_unproven(tmp_path: Path) -> None:
    saved = saved_after(shuffled, 3, tmp_path)
    proof = BACKEND.prove(tmp_path, context=context_of(tmp_path, saved))
    assert (proof.verdict, proof.reason) == ("unproven", "no dataset factory was given")


def test_a_probe_of_other_batches_differs(tmp_path: Path) -> None:
    saved = saved_after(shuffled, 3, tmp_path)
    assert saved.probe is not None
    wrong = {**saved.probe, "batches": [*saved.probe["batches"][:2], "sha256:00", "sha256:00"]}
    context = LoadContext(files=[], probe=wrong, factories={"dataset": shuffled})
    proof = BACKEND.prove(tmp_path, context=context)
    assert (proof.verdict, proof.reason) == ("differs", "batch 3 after the resume differs")
    other = LoadContext(files=[], probe={**wrong, "tensorflow": "2.0"}, factories={"dataset": shuffled})
    assert BACKEND.prove(tmp_path, context=other).verdict == "unproven"


def test_a_factory_that_draws_from_global_generators_is_built_the_same_again(tmp_path: Path) -> None:
    import random

    import numpy as np

    def factory() -> Any:
        order = random.sample(range(40), 40)
        noise = np.random.permutation(40)
        return Data.from_tensor_slices((order, noise)).shuffle(10).repeat().batch(4)

    tf.random.set_seed(7)
    try:
        iterator = PersistentIterator(factory)
        next(iterator)
        before = (random.getstate(), np.random.get_state()[1].tolist())
        saved = BACKEND.save(iterator, tmp_path, context=SaveContext(step=1))
        assert saved.probe is not None
        assert (random.getstate(), np.random.get_state()[1].tolist()) == before
        expected = take(iterator, 25)
        BACKEND.load(tmp_path, target=iterator, context=context_of(tmp_path, saved))
        assert take(iterator, 25) == expected
    finally:
        tf.random.set_seed(None)


def test_a_finished_dataset_stays_finished_after_a_resume(tmp_path: Path) -> None:
    def factory() -> Any:
        return Data.range(10).batch(4)

    iterator = PersistentIterator(factory)
    assert len(list(iterator)) == 3
    assert list(iterator) == []
    saved = BACKEND.save(iterator, tmp_path, context=SaveContext(step=3))
    assert saved.probe is not None
    assert saved.probe["ended"]
    context = context_of(tmp_path, saved, factories={"dataset": factory})
    resumed = BACKEND.load(tmp_path, target=None, context=context)
    assert list(resumed) == []
    assert resumed.batches_seen == 3
    assert BACKEND.prove(tmp_path, context=context).verdict == "same"


def test_iterating_twice_goes_on_where_the_first_loop_stopped() -> None:
    iterator = PersistentIterator(lambda: Data.range(6))
    first = [int(next(iter(iterator))) for _ in range(2)]
    assert first + [int(x) for x in iterator] == [0, 1, 2, 3, 4, 5]
    assert iterator.batches_seen == 6


def test_counter_and_position_agree_when_another_thread_takes_batches(tmp_path: Path) -> None:
    from threading import Event, Thread

    iterator = PersistentIterator(lambda: Data.range(1_000_000))
    stop = Event()
    thread = Thread(target=lambda: [next(iterator) for _ in iter(stop.is_set, True)])
    thread.start()
    try:
        for number in range(5):
            directory = tmp_path / str(number)
            directory.mkdir()
            BACKEND.save(iterator, directory, context=SaveContext(step=0, probe=False))
    finally:
        stop.set()
        thread.join()
    for directory in tmp_path.iterdir():
        resumed = BACKEND.load(
            directory,
            target=None,
            context=LoadContext(files=[], factories={"dataset": lambda: Data.range(1_000_000)}),
        )
        assert int(next(resumed)) == resumed.batches_seen - 1


@pytest.mark.parametrize("name", ["a [1] b", "back\\slash", "st*r?", "ü"])
def test_folders_with_odd_names_work(name: str, tmp_path: Path) -> None:
    saved = saved_after(shuffled, 2, tmp_path / name)
    target = PersistentIterator(shuffled)
    BACKEND.load(tmp_path / name, target=target, context=context_of(tmp_path / name, saved))
    assert target.batches_seen == 2


@pytest.mark.parametrize("name", ["shuffled", "cached"])
def test_files_of_an_older_tensorflow_go_on_exactly(name: str) -> None:
    """The folders were written by TensorFlow 2.16.2 after 30 batches of the same pipelines."""
    directory = Path(__file__).parent / "test_tfdata_frozen" / f"tensorflow-2.16.2-{name}"
    context = LoadContext(files=[p.name for p in directory.iterdir()], factories={"dataset": PIPELINES[name]})
    assert list(BACKEND.check(directory, context=context)) == []
    resumed = BACKEND.load(directory, target=None, context=context)
    expected = PersistentIterator(PIPELINES[name])
    take(expected, 30)
    assert take(resumed, 40) == take(expected, 40)
