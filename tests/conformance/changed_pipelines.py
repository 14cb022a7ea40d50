"""What training changes of what a tf.data pipeline is made from, after it was built."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from ckptkit_tfdata import PersistentIterator

Story = tuple[Callable[[], PersistentIterator], Callable[[PersistentIterator], object]]
Source = dict[str, Any]


def named(numbers: Any) -> Any:
    return numbers.repeat().batch(4).map(lambda n: {"n": n})


def of_rows(source: Source) -> Any:
    import tensorflow as tf

    rows = tf.data.Dataset.from_tensor_slices(source["rows"])
    return named(rows.shuffle(8, seed=source["seed"]).map(lambda n: n * source["scale"]))


def of_array(source: Source) -> Any:
    import tensorflow as tf

    return named(tf.data.Dataset.from_tensor_slices(source["array"]))


def of_variable(source: Source) -> Any:
    import tensorflow as tf

    shift = source.setdefault("variable", tf.Variable(3, dtype=tf.int64))
    return named(tf.data.Dataset.range(20).map(lambda n: n + shift))


def of_table(source: Source) -> Any:
    import tensorflow as tf

    table = source.setdefault("table", tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, 7))
    return named(tf.data.Dataset.range(20).map(table.lookup))


def of_dense_table(source: Source) -> Any:
    import tensorflow as tf

    made = tf.lookup.experimental.DenseHashTable(tf.int64, tf.int64, 7, empty_key=-1, deleted_key=-2)
    table = source.setdefault("table", made)
    return named(tf.data.Dataset.range(20).map(table.lookup))


def of_generator(source: Source) -> Any:
    import tensorflow as tf

    def rows() -> Iterator[float]:
        return iter(source["rows"])

    return named(tf.data.Dataset.from_generator(rows, output_signature=tf.TensorSpec((), tf.float32)))


def of_python(source: Source) -> Any:
    import tensorflow as tf

    def scaled(n: Any) -> Any:
        return tf.py_function(lambda x: x * source["scale"], [n], tf.float32)

    return named(tf.data.Dataset.from_tensor_slices(source["rows"]).map(scaled))


def insert(source: Source) -> None:
    import tensorflow as tf

    source["table"].insert(tf.constant([1], tf.int64), tf.constant([3], tf.int64))


def build(make: Callable[[Source], Any]) -> PersistentIterator:
    source = {"rows": [float(n) for n in range(20)], "array": np.arange(4096.0), "seed": 3, "scale": 2.0}
    return PersistentIterator(functools.partial(make, source), settings={"seed": 3})


CHANGES: dict[str, tuple[Callable[[Source], Any], Callable[[Source], object]]] = {
    "a list that grew": (of_rows, lambda source: source["rows"].extend([50.0, 51.0])),
    "a list that shrank": (of_rows, lambda source: source["rows"].clear()),
    "another list": (of_rows, lambda source: source.update(rows=[1.0] * 30)),
    "the seed": (of_rows, lambda source: source.update(seed=9)),
    "a number that a map function uses": (of_rows, lambda source: source.update(scale=5.0)),
    "an array in place": (of_array, lambda source: source["array"].__iadd__(100)),
    "another array": (of_array, lambda source: source.update(array=np.ones(30))),
    "a variable": (of_variable, lambda source: source["variable"].assign(50)),
    "a table": (of_table, insert),
    "a dense table": (of_dense_table, insert),
    "what a Python generator reads": (of_generator, lambda source: source["rows"].append(4.0)),
    "what a Python function reads": (of_python, lambda source: source.update(scale=5.0)),
}


def stories() -> dict[str, Story]:
    """Return each change of what a pipeline is made from, and one of what the iterator says of itself."""

    def change(how: Callable[[Source], object], item: Any) -> object:
        return how(item.dataset_factory.args[0])

    found: dict[str, Story] = {
        name: (functools.partial(build, make), functools.partial(change, how)) for name, (make, how) in CHANGES.items()
    }
    found["the settings"] = (functools.partial(build, of_rows), lambda item: item.settings.update(seed=9))  # type: ignore[union-attr]
    return found
