"""Damage in a bundle is found without TensorFlow, wherever it is; a hostile bundle is reported, not obeyed."""

import os
import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
import tensorflow as tf
from ckptkit_tfdata import PersistentIterator, TfDataBackend

from ckptkit.backend import CheckContext, LoadContext, SaveContext
from ckptkit.errors import BackendError, DamagedError
from ckptkit.formats.crc32c import extend, extend_in_python, mask
from ckptkit.formats.tf_bundle import Bundle
from ckptkit.formats.tf_table import TableError, read_table

BACKEND = TfDataBackend()
NAMES = ["iterator.data-00000-of-00001", "iterator.index", "tfdata.json"]


def factory() -> Any:
    dataset = tf.data.Dataset.range(100).map(lambda x: (x, tf.strings.as_string(x))).shuffle(20, seed=1)
    return dataset.repeat().batch(4)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sound")
    iterator = PersistentIterator(factory)
    for _ in range(7):
        next(iterator)
    BACKEND.save(iterator, directory, context=SaveContext(step=7))
    assert sorted(p.name for p in directory.iterdir()) == NAMES
    return directory


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "item"))


def codes(directory: Path) -> set[str]:
    return {problem.code for problem in BACKEND.check(directory, context=CheckContext(files=NAMES))}


def test_sixty_flipped_bits_are_all_found(copy: Path) -> None:
    dice = random.Random(1)
    for name in NAMES[:2] * 30:
        path = copy / name
        good = path.read_bytes()
        bad = bytearray(good)
        bad[dice.randrange(len(bad))] ^= 1 << dice.randrange(8)
        path.write_bytes(bad)
        assert codes(copy), name
        path.write_bytes(good)
    assert codes(copy) == set()


def test_every_flipped_bit_of_the_index_is_found(sound: Path) -> None:
    good = (sound / NAMES[1]).read_bytes()
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(TableError):
            read_table(bytes(bad))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0, 0.3, 0.97])
def test_every_truncation_is_found(name: str, share: float, copy: Path) -> None:
    path = copy / name
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert codes(copy)


def test_trailing_bytes_are_found(copy: Path) -> None:
    for name, code in ((NAMES[0], "bundle-wrong-length"), (NAMES[1], "bundle-index-damaged")):
        path = copy / name
        good = path.read_bytes()
        path.write_bytes(good + b"\0")
        assert codes(copy) == {code}
        path.write_bytes(good)


def test_every_missing_file_is_found(copy: Path) -> None:
    found = ["bundle-missing-shard", "bundle-missing-index", "iterator-sheet-missing"]
    for name, code in zip(NAMES, found, strict=True):
        path = copy / name
        good = path.read_bytes()
        path.unlink()
        assert codes(copy) == {code}
        path.write_bytes(good)


def test_a_state_file_of_another_save_is_found(copy: Path) -> None:
    state_file = copy / NAMES[2]
    state_file.write_text(state_file.read_text().replace('"batches_seen": 7', '"batches_seen": 8'))
    assert codes(copy) == {"iterator-sheet-disagrees"}
    target = PersistentIterator(factory)
    with pytest.raises(DamagedError, match="says 8 batches, the bundle 7"):
        BACKEND.load(copy, target=target, context=LoadContext(files=NAMES))
    assert target.batches_seen == 0


def test_loading_damaged_data_leaves_the_target_as_it_was(copy: Path) -> None:
    path = copy / NAMES[0]
    bad = bytearray(path.read_bytes())
    bad[len(bad) // 2] ^= 1
    path.write_bytes(bad)
    target, other = PersistentIterator(factory), PersistentIterator(factory)
    next(target), next(other)
    with pytest.raises(DamagedError):
        BACKEND.load(copy, target=target, context=LoadContext(files=NAMES))
    assert target.batches_seen == 1
    assert next(target)[0].numpy().tolist() == next(other)[0].numpy().tolist()


def test_checking_and_describing_import_no_framework(sound: Path) -> None:
    script = """
import sys
from pathlib import Path
from ckptkit_tfdata import TfDataBackend
from ckptkit.backend import CheckContext
backend, folder = TfDataBackend(), Path(sys.argv[1])
context = CheckContext(files=[p.name for p in folder.iterdir()])
assert not list(backend.check(folder, context=context))
assert backend.recognise(folder / "iterator")
assert backend.describe(folder, context=context).counters == {"batches_seen": 7}
assert not backend.can_save(object())
assert not {"tensorflow", "numpy", "torch"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script, str(sound)], check=True)


def test_the_checksum_in_python_is_the_checksum() -> None:
    assert extend_in_python(0, b"123456789") == 0xE3069283  # RFC 3720's polynomial, the usual check value
    dice = random.Random(2)
    for size in (0, 1, 2, 3, 255, 4096, 5001):
        data = dice.randbytes(size)
        assert extend_in_python(77, data) == extend(77, data)


def test_all_kinds_of_tensors_are_understood(tmp_path: Path) -> None:
    values = {
        "a": tf.Variable(["", "text", "x" * 300]),
        "b": tf.Variable(tf.zeros((0, 3))),
        "c": tf.Variable(tf.cast([1.5, 2.5], tf.bfloat16)),
        "d": tf.Variable(1 + 2j),
        "e": tf.Variable([True, False]),
    }
    many = {f"layer_{i:04d}": tf.Variable(i) for i in range(400)}
    tf.train.Checkpoint(**values, **many).write(str(tmp_path / "model"))
    bundle = Bundle.open(tmp_path / "model")
    assert list(bundle.problems()) == []
    assert bundle.integer("layer_0123/.ATTRIBUTES/VARIABLE_VALUE") == 123
    assert sorted(BACKEND.recognise(tmp_path / "model") or ()) == ["model.data-00000-of-00001", "model.index"]


def _table(entries: dict[bytes, bytes], *, kind: int = 0) -> bytes:
    def block(rows: list[tuple[bytes, bytes]]) -> bytes:
        body = b"".join(bytes([0, len(k), len(v)]) + k + v for k, v in rows) + struct.pack("<II", 0, 1)
        sealed = body + bytes([kind])
        return sealed + struct.pack("<I", mask(extend(0, sealed)))

    def varint(n: int) -> bytes:
        return bytes([n]) if n < 128 else bytes([n & 0x7F | 0x80]) + varint(n >> 7)

    def handle(offset: int, size: int) -> bytes:
        return varint(offset) + varint(size)

    data, meta = block(list(entries.items())), block([])
    index = block([(max(entries, default=b""), handle(0, len(data) - 5))])
    footer = handle(len(data), len(meta) - 5) + handle(len(data) + len(meta), len(index) - 5)
    return data + meta + index + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


HEADER = b"\x08\x01"
HOSTILE = {
    "no header": ({b"a": b""}, "bundle-index-damaged"),
    "no shards": ({b"": b""}, "bundle-index-damaged"),
    "a billion shards": ({b"": b"\x08\xff\xff\xff\xff\x03"}, "bundle-index-damaged"),
    "big endian": ({b"": HEADER + b"\x10\x01"}, "bundle-index-unsupported"),
    "a shard beyond the last": ({b"": HEADER, b"a": b"\x18\x05"}, "bundle-index-damaged"),
    "a shape of exabytes": (
        {b"": HEADER, b"a": b"\x08\x09\x12\x0b\x12\x09\x08" + b"\xff" * 7 + b"\x7f"},
        "bundle-index-damaged",
    ),
    "a negative dimension": (
        {b"": HEADER, b"a": b"\x08\x09\x12\x0d\x12\x0b\x08" + b"\xff" * 9 + b"\x01"},
        "bundle-index-damaged",
    ),
    "more strings than bytes": (
        {b"": HEADER, b"a": b"\x08\x07\x12\x08\x12\x06\x08\xff\xff\xff\xff\x0f\x28\x05"},
        "bundle-index-damaged",
    ),
    "a field that runs over": ({b"": HEADER, b"a": b"\x12\x7f"}, "bundle-index-damaged"),
    "an endless number": ({b"": HEADER, b"a": b"\x08" + b"\xff" * 12}, "bundle-index-damaged"),
    "beyond the data file": (
        {b"": HEADER, b"a": b"\x08\x04\x12\x04\x12\x02\x08\x09\x20\x64\x28\x09"},
        "bundle-wrong-length",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_index_is_reported(name: str, copy: Path) -> None:
    entries, code = HOSTILE[name]
    (copy / NAMES[1]).write_bytes(_table(entries))
    assert code in codes(copy)


def test_overlapping_tensors_and_compressed_blocks_are_reported(copy: Path) -> None:
    size = (copy / NAMES[0]).stat().st_size
    entry = (
        b"\x08\x04\x12\x05\x12\x03\x08"
        + bytes([size & 0x7F | 0x80, size >> 7])
        + b"\x28"
        + bytes([size & 0x7F | 0x80, size >> 7])
    )
    (copy / NAMES[1]).write_bytes(_table({b"": HEADER, b"a": entry, b"b": entry}))
    assert "bundle-index-damaged" in codes(copy)
    (copy / NAMES[1]).write_bytes(_table({b"": HEADER}, kind=1))
    assert codes(copy) == {"bundle-index-unsupported"}


def test_random_bytes_never_crash_the_check(copy: Path) -> None:
    dice = random.Random(3)
    for size in (0, 1, 47, 48, 49, 200, 5000):
        (copy / NAMES[1]).write_bytes(dice.randbytes(size))
        assert codes(copy) == {"bundle-index-damaged"}


def _trainer(folder: Path, *, counter: bool, steps: int = 5) -> Path:
    folder.mkdir(exist_ok=True)
    iterator = iter(factory())
    for _ in range(steps):
        next(iterator)
    more = {"batches_seen": tf.Variable(steps, dtype=tf.int64)} if counter else {}
    return Path(tf.train.Checkpoint(iterator=iterator, **more).save(str(folder / "ckpt")))


@pytest.mark.parametrize("counter", [True, False])
@pytest.mark.parametrize("form", ["prefix", "index", "data", "folder"])
def test_a_trainers_own_bundle_is_recognised_described_and_loaded(counter: bool, form: str, tmp_path: Path) -> None:
    prefix = _trainer(tmp_path / "tf", counter=counter)
    path = {
        "prefix": prefix,
        "index": prefix.with_name("ckpt-1.index"),
        "data": prefix.with_name("ckpt-1.data-00000-of-00001"),
        "folder": prefix.parent,
    }[form]
    found = BACKEND.recognise(path)
    assert found is not None
    pointer = ["checkpoint"] if form == "folder" else []
    assert sorted(found) == [*pointer, "ckpt-1.data-00000-of-00001", "ckpt-1.index"]
    item = tmp_path / "item"
    item.mkdir()
    for name, source in found.items():
        shutil.copy(source, item / name)
    context = LoadContext(files=sorted(found), factories={"dataset": factory})
    assert list(BACKEND.check(item, context=context)) == []
    saved = BACKEND.describe(item, context=context)
    assert saved.counters == ({"batches_seen": 5} if counter else {})
    assert saved.captured.grade == "complete"
    assert any("no batch counter" in hazard for hazard in saved.hazards) == (not counter)
    assert any("no fingerprint" in hazard for hazard in saved.hazards)
    resumed = BACKEND.load(item, target=None, context=context)
    assert resumed.batches_seen == (5 if counter else 0)
    live = PersistentIterator(factory)
    for _ in range(5):
        next(live)
    assert next(resumed)[0].numpy().tolist() == next(live)[0].numpy().tolist()


def test_a_folder_with_several_bundles_means_none_of_them(tmp_path: Path) -> None:
    _trainer(tmp_path, counter=True)
    shutil.copy(tmp_path / "ckpt-1.index", tmp_path / "ckpt-2.index")
    assert (tmp_path / "checkpoint").is_file()
    assert BACKEND.recognise(tmp_path) is None
    assert BACKEND.recognise(tmp_path / "nothing") is None


def test_an_adopted_bundle_of_another_dataset_is_refused(tmp_path: Path) -> None:
    prefix = _trainer(tmp_path, counter=True)
    files = sorted(BACKEND.recognise(prefix) or {})
    target = PersistentIterator(lambda: tf.data.Dataset.range(5))
    with pytest.raises(BackendError, match="does not fit the dataset"):
        BACKEND.load(tmp_path, target=target, context=LoadContext(files=files))
    assert int(next(target)) == 0


def test_a_bundle_with_more_than_an_iterator_is_described_but_not_loaded(tmp_path: Path) -> None:
    iterator = iter(factory())
    tf.train.Checkpoint(iterator=iterator, weight=tf.Variable(1.0)).write(str(tmp_path / "mixed"))
    files = sorted(BACKEND.recognise(tmp_path) or {})
    context = LoadContext(files=files, factories={"dataset": factory})
    assert BACKEND.describe(tmp_path, context=context).captured.grade == "partial"
    with pytest.raises(BackendError, match="is not Checkpoint"):
        BACKEND.load(tmp_path, target=None, context=context)


def _training(seed: int) -> tuple[tf.train.Checkpoint, tf.Variable, Any]:
    iterator = iter(factory())
    weight = tf.Variable([float(seed)] * 3)
    return tf.train.Checkpoint(iterator=iterator, weight=weight), weight, iterator


def test_a_bundle_with_more_is_put_back_into_the_checkpoint_of_its_training(tmp_path: Path) -> None:
    saved, _, iterator = _training(1)
    next(iterator)
    saved.save(str(tmp_path / "mixed"))
    target, weight, other = _training(2)
    files = sorted(BACKEND.recognise(tmp_path / "mixed-1") or {})
    assert BACKEND.load(tmp_path, target=target, context=LoadContext(files=files)) is target
    assert weight.numpy().tolist() == [1.0] * 3
    assert [part.numpy().tolist() for part in next(other)] == [part.numpy().tolist() for part in next(iterator)]


@pytest.mark.parametrize("change", ["less", "more", "shape"])
def test_a_checkpoint_of_another_training_is_refused_and_left_alone(change: str, tmp_path: Path) -> None:
    _training(1)[0].write(str(tmp_path / "mixed"))
    weight = tf.Variable([2.0] * (4 if change == "shape" else 3))
    more = {"bias": tf.Variable(0.0)} if change == "more" else {}
    kept = {"weight": weight, **({} if change == "less" else {"iterator": iter(factory())})}
    target = tf.train.Checkpoint(**kept, **more)
    reason = {"less": "the target has no iterator", "more": "holds no bias", "shape": "weight.* another type or shape"}
    with pytest.raises(BackendError, match=reason[change]):
        BACKEND.load(tmp_path, target=target, context=LoadContext(files=sorted(BACKEND.recognise(tmp_path) or {})))
    assert weight.numpy()[0] == 2.0
