"""Records by number, permutations of numbers: every record comes once, the order is new, a position is small."""

import os
import random
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
import tensorflow as tf
from ckptkit_tfdata import PersistentIterator, TfDataBackend
from ckptkit_tfdata.indexed import IndexedRecords, shuffled_indices, without_read_ahead
from ckptkit_tfdata.tfrecord import record_offsets

from ckptkit.backend import LoadContext, SaveContext
from ckptkit.errors import DamagedError, NotFoundError, UsageError


def write(path: Path, records: list[bytes]) -> Path:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return path


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / f"{s}.tfrecord", [b"%d-%d" % (s, n) * 50 for n in range(20 + s)]) for s in range(3)]


def numbers(dataset: Any) -> list[int]:
    return [int(n) for n in dataset.as_numpy_iterator()]


@pytest.mark.parametrize("count", [1, 2, 63, 1000])
def test_every_epoch_holds_every_number_once(count: int) -> None:
    got = numbers(shuffled_indices(count, seed=3, epochs=3))
    for epoch in range(3):
        assert sorted(got[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_each_epoch_and_each_seed_has_an_order_of_its_own() -> None:
    got = numbers(shuffled_indices(500, seed=3, epochs=2))
    orders = [got[:500], got[500:], numbers(shuffled_indices(500, seed=4, epochs=1)), list(range(500))]
    assert len({tuple(order) for order in orders}) == 4
    assert got == numbers(shuffled_indices(500, seed=3, epochs=2))


def test_numbers_that_were_neighbours_lie_far_apart() -> None:
    got = numbers(shuffled_indices(1000, seed=3, epochs=1))
    place = {number: at for at, number in enumerate(got)}
    apart = [abs(place[n] - place[n + 1]) for n in range(999)]
    assert 250 < sum(apart) / len(apart) < 420  # a third of the length, were the order drawn at random


def test_without_a_seed_they_come_in_order_and_for_ever() -> None:
    assert numbers(shuffled_indices(3, seed=None).take(7)) == [0, 1, 2, 0, 1, 2, 0]


def test_no_records_are_refused() -> None:
    with pytest.raises(UsageError, match="0 records"):
        shuffled_indices(0, seed=1)


def test_a_record_is_had_by_its_number_through_all_files(shards: list[Path]) -> None:
    records = IndexedRecords(shards)
    assert len(records) == 63
    got = list(tf.data.Dataset.range(63).flat_map(records.at).as_numpy_iterator())
    assert got == list(tf.data.TFRecordDataset([str(s) for s in shards]).as_numpy_iterator())


def test_a_saved_position_goes_on_exactly_and_is_small_whatever_the_records_are(tmp_path: Path) -> None:
    path = write(tmp_path / "large.tfrecord", [random.Random(n).randbytes(20_000) for n in range(100)])

    def by_number() -> Any:
        records = IndexedRecords([path])
        return without_read_ahead(shuffled_indices(len(records), seed=1).flat_map(records.at).batch(4))

    def by_window() -> Any:
        return tf.data.TFRecordDataset(str(path)).shuffle(100, seed=1).repeat().batch(4)

    sizes = {}
    for factory in (by_number, by_window):
        folder = tmp_path / factory.__name__
        folder.mkdir()
        iterator = PersistentIterator(factory, record_files=[path])
        list(islice(iterator, 30))  # into the second epoch
        saved = TfDataBackend().save(iterator, folder, context=SaveContext(step=1))
        assert (saved.captured.grade, list(saved.hazards)) == ("complete", [])
        sizes[factory.__name__] = sum(file.stat().st_size for file in folder.iterdir())
        resumed = PersistentIterator(factory, record_files=[path])
        context = LoadContext([f.name for f in folder.iterdir()], metadata=saved.metadata)
        TfDataBackend().load(folder, target=resumed, context=context)
        for ours, theirs in zip(islice(resumed, 40), islice(iterator, 40), strict=True):
            assert ours.numpy().tolist() == theirs.numpy().tolist()
    assert sizes["by_window"] > 42 * sizes["by_number"]


def test_offsets_are_those_of_the_records(shards: list[Path]) -> None:
    data = shards[1].read_bytes()
    offsets = record_offsets(shards[1], contents=True)
    assert [int.from_bytes(data[at : at + 8], "little") for at in offsets] == [150] * 10 + [200] * 11


def test_a_missing_file_is_named(shards: list[Path]) -> None:
    shards[1].unlink()
    with pytest.raises(NotFoundError, match=r"1\.tfrecord: is missing"):
        IndexedRecords(shards)


def test_a_file_that_was_cut_short_names_the_record(shards: list[Path]) -> None:
    shards[0].write_bytes(shards[0].read_bytes()[:-3])
    with pytest.raises(DamagedError, match=r"0\.tfrecord: record 19 at byte \d+ is cut short"):
        IndexedRecords(shards)


def test_every_flipped_bit_of_a_header_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tfrecord", [b"one", b"two"])
    whole = path.read_bytes()
    for bit in range(12 * 8):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with pytest.raises(DamagedError, match="record 0 at byte 0: the checksum of its length"):
            record_offsets(path)


def test_a_flipped_bit_of_the_data_is_found_where_contents_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tfrecord", [b"one", b"two"])
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)
    assert len(record_offsets(path)) == 2
    with pytest.raises(DamagedError, match="record 1 at byte 19: the checksum of its data"):
        record_offsets(path, contents=True)
