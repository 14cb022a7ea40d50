"""A dataset that changed, or that no file can hold, is refused and named; what may differ later is a hazard."""

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
from ckptkit_tfdata.state_file import StateFile

from ckptkit.backend import LoadContext, SaveContext
from ckptkit.errors import BackendError, DamagedError, RefusedError, UsageError

Data = tf.data.Dataset
BACKEND = TfDataBackend()


def pipeline(
    *,
    seed: int | None = 1,
    buffer: int = 50,
    batch: int = 8,
    files: tuple[str, ...] = ("a", "b", "c"),
    stop: int = 500,
    count: int | None = None,
    factor: int = 2,
    dtype: Any = tf.int64,
    reshuffle: bool = True,
    prefetch: bool = True,
    remainder: bool = False,
    filtered: bool = False,
) -> Any:
    names = Data.from_tensor_slices(list(files)).repeat()
    dataset = Data.zip((Data.range(stop), names)).shuffle(buffer, seed=seed, reshuffle_each_iteration=reshuffle)
    if filtered:
        dataset = dataset.filter(lambda x, name: x % 2 == 0)
    dataset = dataset.map(lambda x, name: (tf.cast(x * factor, dtype), name)).repeat(count)
    dataset = dataset.batch(batch, drop_remainder=remainder)
    return dataset.prefetch(2) if prefetch else dataset


VARIANTS: dict[str, tuple[dict[str, Any], str]] = {
    "seed": ({"seed": 2}, "ShuffleDatasetV3 seed2 1 -> 2"),
    "no seed": ({"seed": None}, "ShuffleDatasetV3 seed"),
    "buffer": ({"buffer": 40}, "ShuffleDatasetV3 buffer_size 50 -> 40"),
    "reshuffle": ({"reshuffle": False}, "ShuffleDatasetV3 reshuffle_each_iteration default -> false"),
    "batch": ({"batch": 16}, "BatchDatasetV2 batch_size 8 -> 16"),
    "remainder": ({"remainder": True}, "BatchDatasetV2 drop_remainder false -> true"),
    "files": ({"files": ("a", "b", "d")}, "components[0] ['a', 'b', 'c'] -> ['a', 'b', 'd']"),
    "file order": ({"files": ("b", "a", "c")}, "['b', 'a', 'c']"),
    "fewer files": ({"files": ("a", "b")}, "['a', 'b']"),
    "source range": ({"stop": 400}, "RangeDataset stop 500 -> 400"),
    "count": ({"count": 7}, "RepeatDataset count -1 -> 7"),
    "constant in a function": ({"factor": 3}, "MapDataset f (Const,Mul"),
    "removed op": ({"prefetch": False}, "PrefetchDataset -> nothing"),
    "added op": ({"filtered": True}, "nothing -> FilterDataset"),
    "element spec": ({"dtype": tf.int32}, "element_spec"),
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("original")
    iterator = PersistentIterator(pipeline)
    for _ in range(5):
        next(iterator)
    BACKEND.save(iterator, directory, context=SaveContext(step=5))
    return directory


@pytest.mark.parametrize("name", VARIANTS)
def test_a_changed_dataset_is_refused_before_the_bundle_is_read(name: str, original: Path) -> None:
    change, phrase = VARIANTS[name]
    target = PersistentIterator(lambda: pipeline(**change))
    first = next(target)
    with pytest.raises(BackendError, match="is not the one that was saved") as caught:
        BACKEND.load(original, target=target, context=LoadContext(files=[]))
    assert phrase in caught.value.message
    assert "\n" not in caught.value.message
    assert target.batches_seen == 1
    again = PersistentIterator(lambda: pipeline(**change))
    if change.get("seed", 1) is not None:
        assert first[0].numpy().tolist() == next(again)[0].numpy().tolist()
        assert next(target)[0].numpy().tolist() == next(again)[0].numpy().tolist()


def saved_with(settings: dict[str, Any] | None, folder: Path) -> LoadContext:
    item = BACKEND.save(PersistentIterator(pipeline, settings=settings), folder, context=SaveContext(step=0))
    return LoadContext([path.name for path in folder.iterdir()], item.metadata)


def test_settings_of_a_program_are_compared_field_by_field_before_the_graph(tmp_path: Path) -> None:
    context = saved_with({"batch_size": 8, "data": {"seed": 1, "shards": ["a"]}}, tmp_path)
    now = {"batch_size": 16, "data": {"seed": 1, "shards": ["a", "b"]}, "split": "val"}
    target = PersistentIterator(lambda: pipeline(batch=16), settings=now)
    with pytest.raises(RefusedError) as caught:
        BACKEND.load(tmp_path, target=target, context=context)
    assert str(caught.value) == (
        "tf-data: the state belongs to another definition: batch_size 8 -> 16; data.shards ['a'] -> ['a', 'b']; "
        "split 'unset' -> 'val'"
    )
    assert target.batches_seen == 0


@pytest.mark.parametrize(("saved", "now"), [(None, {"seed": 1}), ({"seed": 1}, None), ({"seed": 1}, {"seed": 1})])
def test_settings_that_only_one_of_them_says_are_not_compared(
    saved: dict[str, Any] | None, now: dict[str, Any] | None, tmp_path: Path
) -> None:
    context = saved_with(saved, tmp_path)
    BACKEND.load(tmp_path, target=PersistentIterator(pipeline, settings=now), context=context)
    with pytest.raises(BackendError, match="ShuffleDatasetV3 seed2 1 -> 2"):
        BACKEND.load(tmp_path, target=PersistentIterator(lambda: pipeline(seed=2), settings=now), context=context)


def test_settings_that_are_no_json_values_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot be written as JSON"):
        PersistentIterator(pipeline, settings={"path": Path("data")})


def test_fingerprints_are_equal_over_processes_and_creation_order(original: Path) -> None:
    for _ in range(3):
        Data.range(3).map(lambda x: x)
    here = PersistentIterator(pipeline).definition.fingerprint
    script = "from test_tfdata_definition import *; print(PersistentIterator(pipeline).definition.fingerprint)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "PYTHONHASHSEED": "5"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    state_file = StateFile.read(original)
    assert state_file is not None
    assert done.stdout.strip() == here == state_file.fingerprint


def test_all_variants_have_different_fingerprints() -> None:
    changes = [{}, *(change for change, _ in VARIANTS.values())]
    values = {PersistentIterator(lambda c=c: pipeline(**c)).definition.fingerprint for c in changes}
    assert len(values) == len(changes)


def test_the_contents_of_a_lookup_table_are_part_of_the_definition() -> None:
    def factory(value: int) -> Any:
        initializer = tf.lookup.KeyValueTensorInitializer(tf.constant([1], tf.int64), tf.constant([value], tf.int64))
        return Data.range(3).map(tf.lookup.StaticHashTable(initializer, 0).lookup)

    one, same, two = (PersistentIterator(lambda v=v: factory(v)).definition.fingerprint for v in (1, 1, 2))
    assert one == same != two


def test_another_tensorflow_may_have_another_fingerprint_if_the_summary_is_equal(
    original: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in original.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    state_file = tmp_path / "tfdata.json"
    text = state_file.read_text()
    state_file.write_text(
        text.replace(f'"{tf.__version__}"', '"2.16.2"').replace('"fingerprint": "sha256:', '"fingerprint": "sha256:f')
    )
    target = PersistentIterator(pipeline)
    BACKEND.load(tmp_path, target=target, context=LoadContext(files=[]))
    assert target.batches_seen == 5
    assert "cannot be compared" in caplog.text
    with pytest.raises(BackendError, match="buffer_size 50 -> 40"):
        BACKEND.load(tmp_path, target=PersistentIterator(lambda: pipeline(buffer=40)), context=LoadContext(files=[]))
    state_file.write_text(text.replace('"fingerprint": "sha256:', '"fingerprint": "sha256:f'))
    with pytest.raises(BackendError, match="a value or a function within it"):
        BACKEND.load(tmp_path, target=target, context=LoadContext(files=[]))


def _records(folder: Path, contents: bytes = b"x") -> list[str]:
    paths = [str(folder / f"{i}.tfrecord") for i in range(2)]
    for path in paths:
        with tf.io.TFRecordWriter(path) as writer:
            for _ in range(20):
                writer.write(contents)
    return paths


@pytest.mark.parametrize("declared", [True, False])
def test_record_files_with_other_contents_are_refused(declared: bool, tmp_path: Path) -> None:
    paths = _records(tmp_path)
    item = tmp_path / "item"
    item.mkdir()

    def make() -> PersistentIterator:
        return PersistentIterator(lambda: tf.data.TFRecordDataset(paths), record_files=paths if declared else ())

    iterator = make()
    next(iterator)
    saved = BACKEND.save(iterator, item, context=SaveContext(step=1))
    assert saved.metadata["record_files"] == 2
    assert saved.hazards == []
    BACKEND.load(item, target=make(), context=LoadContext(files=[]))
    _records(tmp_path, b"y")
    with pytest.raises(BackendError, match=r"0\.tfrecord has other contents"):
        BACKEND.load(item, target=make(), context=LoadContext(files=[]))
    Path(paths[0]).unlink()
    with pytest.raises(BackendError, match=r"0\.tfrecord"):
        BACKEND.load(item, target=make(), context=LoadContext(files=[]))


def test_a_large_record_file_is_digested_in_blocks_and_only_when_it_changed(tmp_path: Path) -> None:
    from ckptkit_tfdata.records import RecordFiles

    path = tmp_path / "big"
    path.write_bytes(bytes(3 << 20))
    files = RecordFiles([path])
    [record] = files.records()
    assert record.digest.startswith("sha256-blocks:")
    with path.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"1")
    os.utime(path, ns=(1, 1))
    [other] = files.records()
    assert (other.size, other.digest != record.digest) == (3 << 20, True)


def _random(x: Any) -> Any:
    return x + tf.random.uniform((), maxval=5, dtype=tf.int64)


def _numpy(x: Any) -> Any:
    return tf.numpy_function(lambda y: y, [x], tf.int64)


def _python(x: Any) -> Any:
    return tf.py_function(lambda y: y, [x], tf.int64)


def _with_variable() -> Any:
    variable = tf.Variable(1, dtype=tf.int64)
    return Data.range(9).map(lambda x: x + variable)


def _symbolic(dataset: Any) -> Any:
    options = tf.data.Options()
    options.experimental_symbolic_checkpoint = True
    return dataset.with_options(options)


EXTERNAL: dict[str, tuple[Callable[[], Any], str, str]] = {
    "random": (lambda: Data.range(9).map(_random), "RandomUniformInt is stateful", "stateless"),
    "random and symbolic": (lambda: _symbolic(Data.range(9).map(_random)), "RandomUniformInt is stateful", "stateless"),
    "variable": (_with_variable, "ReadVariableOp is stateful", "constant"),
    "numpy_function": (lambda: Data.range(9).map(_numpy), "PyFunc is stateful", "skip(batches_seen)"),
    "py_function": (lambda: Data.range(9).map(_python), "EagerPyFunc is stateful", "skip(batches_seen)"),
    "from_generator": (
        lambda: Data.from_generator(lambda: iter(range(9)), output_signature=tf.TensorSpec((), tf.int64)),
        "PyFunc is stateful",
        "from_generator",
    ),
    "shuffle in interleave": (
        lambda: Data.range(9).interleave(lambda x: Data.range(5).shuffle(3, seed=1)),
        "DummySeedGenerator is stateful",
        "outside of the function",
    ),
}


@pytest.mark.parametrize("name", EXTERNAL)
def test_external_state_is_refused_and_the_op_is_named(name: str, tmp_path: Path) -> None:
    factory, message, hint = EXTERNAL[name]
    iterator = PersistentIterator(factory)
    with pytest.raises(BackendError, match=message) as caught:
        BACKEND.save(iterator, tmp_path, context=SaveContext(step=0))
    assert hint in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def _free_order() -> Any:
    return Data.range(100).map(lambda x: x, num_parallel_calls=2, deterministic=False)


HAZARDS: dict[str, tuple[Callable[[], Any], str, str]] = {
    "unseeded shuffle": (
        lambda: Data.range(100).shuffle(20).repeat(),
        "ShuffleDatasetV3 (buffer_size 20)",
        "until",
    ),
    "unseeded sampling": (
        lambda: Data.sample_from_datasets([Data.range(50), Data.range(60)]),
        "RandomDataset has no seed",
        "until",
    ),
    "unseeded and symbolic": (lambda: _symbolic(Data.range(100).shuffle(20)), "symbolic", "partial"),
    "symbolic": (lambda: _symbolic(Data.range(100).shuffle(20, seed=1)), "symbolic checkpointing is on", "complete"),
    "free order": (_free_order, "thread timing", "partial"),
    "undigested files": (
        lambda: Data.range(3).flat_map(lambda x: tf.data.TFRecordDataset(tf.strings.as_string(x))),
        "pass record_files",
        "complete",
    ),
}


@pytest.mark.parametrize("name", HAZARDS)
def test_a_hazard_is_named_and_grades_the_item(name: str, tmp_path: Path) -> None:
    factory, text, grade = HAZARDS[name]
    saved = BACKEND.save(PersistentIterator(factory), tmp_path, context=SaveContext(step=0))
    assert any(text in hazard for hazard in saved.hazards), saved.hazards
    assert saved.captured.grade == grade
    assert (not saved.captured.reasons) == (grade == "complete")
    assert BACKEND.describe(tmp_path, context=LoadContext(files=[])).captured == saved.captured


def test_a_dataset_that_caches_in_a_file_is_saved_without_a_probe(tmp_path: Path) -> None:
    item = tmp_path / "item"
    item.mkdir()
    iterator = PersistentIterator(lambda: Data.range(10).cache(str(tmp_path / "cache")))
    next(iterator)
    saved = BACKEND.save(iterator, item, context=SaveContext(step=1))
    assert saved.probe is None
    assert any("outside the checkpoint" in hazard for hazard in saved.hazards)


def test_a_factory_that_builds_something_else_each_time_gives_no_probe(tmp_path: Path) -> None:
    sizes = iter(range(10, 99))
    saved = BACKEND.save(PersistentIterator(lambda: Data.range(next(sizes))), tmp_path, context=SaveContext(step=0))
    assert saved.probe is None
    assert any("another dataset at its second call" in hazard for hazard in saved.hazards)


@pytest.mark.parametrize("wrong", [lambda: iter([1]), lambda: None, lambda: iter(Data.range(3))])
def test_a_factory_that_returns_no_dataset_is_refused(wrong: Callable[[], Any]) -> None:
    with pytest.raises(BackendError, match=r"not a tf\.data\.Dataset"):
        PersistentIterator(wrong)


def test_loading_without_target_and_factory_says_what_is_needed(original: Path) -> None:
    with pytest.raises(BackendError, match="nothing to load into") as caught:
        BACKEND.load(original, target=None, context=LoadContext(files=[]))
    assert '"dataset"' in caught.value.hint


def test_another_object_is_not_saved(tmp_path: Path) -> None:
    assert not BACKEND.can_save(Data.range(3))
    with pytest.raises(BackendError, match="cannot be saved"):
        BACKEND.save(iter(Data.range(3)), tmp_path, context=SaveContext(step=0))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format_version": 1}', "<html>", '{"format_version": 2}'])
def test_a_damaged_state_file_is_refused_and_found_by_check(text: str, original: Path, tmp_path: Path) -> None:
    for path in original.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "tfdata.json").write_text(text)
    target = PersistentIterator(pipeline)
    with pytest.raises(DamagedError, match=r"tfdata\.json"):
        BACKEND.load(tmp_path, target=target, context=LoadContext(files=[]))
    assert target.batches_seen == 0
    assert [p.code for p in BACKEND.check(tmp_path, context=LoadContext(files=[]))] == ["iterator-sheet-damaged"]
