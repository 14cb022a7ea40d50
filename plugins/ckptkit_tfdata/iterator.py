"""A tf.data iterator that a training run can put down and take up again: one iterator, its counter, one bundle."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from ckptkit.errors import BackendError, DamagedError
from ckptkit.formats import strict_json
from ckptkit_tfdata.definition import Definition, define
from ckptkit_tfdata.error_text import one_line
from ckptkit_tfdata.held import Held
from ckptkit_tfdata.lazy_import import tensorflow
from ckptkit_tfdata.records import Record, RecordFiles, files_named_by
from ckptkit_tfdata.rng_scope import RngScope

_GLOB = frozenset("*?[\\")


class PersistentIterator:
    """One pass over a dataset that survives the process.

    It is its own iterator: a second ``for`` loop over it goes on where the first stopped. At the end of a finite
    dataset ``next`` raises StopIteration, every time, also after a resume, and ``batches_seen`` stays; use
    ``dataset.repeat(epochs)`` for several epochs. Count with ``batches_seen``, not with ``enumerate``, which starts at
    0 again after a resume. Safe to save in one thread while another takes batches.

    Args:
        dataset_factory: returns a new ``tf.data.Dataset`` at each call, always with the same definition. It is called
            once now, and again for each probe and load; random generators are put back for these calls, so a factory
            may draw from them.
        record_files: local files that the dataset reads, in its order. Their digests are saved, and a resume
            refuses if they changed. Left out, the files that are named in the dataset's graph are taken.
        settings: what the dataset is made from, in the program's own words (``{"batch_size": 32, "seed": 42}``; JSON
            values, no secrets). Saved, and compared field by field before a position is put back: a program that was
            started with others is refused with their names, not with those of the graph's ops.

    Raises:
        UsageError: the settings are not JSON values.
        BackendError: the factory does not return a ``tf.data.Dataset``.
        BackendUnavailableError: TensorFlow is not installed.
    """

    def __init__(
        self,
        dataset_factory: Callable[[], Any],
        *,
        record_files: Sequence[str | os.PathLike[str]] = (),
        settings: Mapping[str, Any] | None = None,
        _rng_scope: RngScope | None = None,
    ) -> None:
        tf = tensorflow()
        self.dataset_factory = dataset_factory
        self._settings = None if settings is None else strict_json.dumps(dict(settings))
        self._rng_scope = _rng_scope or RngScope.now()
        self._dataset = dataset_factory()
        if not isinstance(self._dataset, tf.data.Dataset):
            raise BackendError(
                f"tf-data: the dataset factory returned a {type(self._dataset).__name__}, not a tf.data.Dataset",
                hint="pass a function that builds and returns the dataset, not an iterator",
            )
        self._declared = RecordFiles(record_files)
        self._files: RecordFiles | None = None
        self._definition: Definition | None = None
        self._iterator = iter(self._dataset)
        self._count = 0
        self._lock = Lock()

    def __iter__(self) -> "PersistentIterator":
        """Return itself, never a new iterator."""
        return self

    def __next__(self) -> Any:
        """Return the next batch and count it."""
        with self._lock:
            batch = next(self._iterator)
            self._count += 1
        return batch

    @property
    def batches_seen(self) -> int:
        """Number of batches taken since the very start, over all resumes."""
        return self._count

    @property
    def settings(self) -> dict[str, Any] | None:
        """A copy of what the dataset was made from, as the program said it then."""
        return None if self._settings is None else strict_json.loads(self._settings)

    @property
    def definition(self) -> Definition:
        """What the dataset is: fingerprint, summary, hazards' causes. Computed once."""
        if self._definition is None:
            self._definition = define(self._dataset)
        return self._definition

    @property
    def declares_files(self) -> bool:
        """Whether the caller said which record files the dataset reads."""
        return bool(self._declared.paths)

    def record_files(self) -> list[Record]:
        """Return the record files as they are now; those that the caller declared, else those named in the graph."""
        if self._files is None:
            self._files = self._declared if self.declares_files else RecordFiles(files_named_by(self.definition.texts))
        return self._files.records()

    def twin(self) -> "PersistentIterator":
        """Return a new iterator at batch 0, of a second dataset from the factory; the first is not disturbed."""
        with self._rng_scope.again():
            return PersistentIterator(
                self.dataset_factory,
                record_files=self._declared.paths,
                settings=self.settings,
                _rng_scope=self._rng_scope,
            )

    def held(self) -> Held:
        """Return position and counter, apart from the iterator.

        Raises:
            BackendError: the dataset holds state that TensorFlow cannot save.
        """
        with self._lock:
            return Held.of(self._iterator, self._count)

    def put(self, held: Held) -> None:
        """Put position and counter back. Only for an iterator that nobody uses yet."""
        held.put(self._iterator)
        self._count = held.batches_seen

    def read(self, prefix: Path, *, counter: bool = True, save_counter: bool = False) -> None:
        """Put position and counter back from a bundle. Only for an iterator that nobody uses yet: see ``take_over``.

        Args:
            prefix: of the bundle.
            counter: whether the bundle holds ``batches_seen``; else the count starts at 0.
            save_counter: whether it was written by ``Checkpoint.save``, which adds a counter of its own.

        Raises:
            DamagedError: the bundle's bytes are damaged.
            BackendError: it does not belong to this dataset.
        """
        tf = tensorflow()
        checkpoint = self._checkpoint(counter=counter)
        if save_counter:
            _ = checkpoint.save_counter  # asking for it creates it
        try:
            with _readable(prefix) as path:
                checkpoint.read(path).assert_consumed()
        except tf.errors.DataLossError as error:
            raise DamagedError(f"{prefix.name}: {one_line(error)}") from error
        except (tf.errors.OpError, AssertionError, ValueError) as error:
            raise BackendError(f"tf-data: the bundle does not fit the dataset: {one_line(error)}") from error
        self._count = int(checkpoint.batches_seen) if counter else 0

    def take_over(self, other: "PersistentIterator") -> None:
        """Go on from where another iterator of the same definition is; the other is used up."""
        with self._lock, other._lock:
            self._dataset, self._iterator, self._count = other._dataset, other._iterator, other._count
            self._definition = other._definition

    def _checkpoint(self, *, counter: bool) -> Any:
        tf = tensorflow()
        if not counter:
            return tf.train.Checkpoint(iterator=self._iterator)
        with tf.device("CPU:0"):
            count = tf.Variable(self._count, dtype=tf.int64, trainable=False, name="batches_seen")
        return tf.train.Checkpoint(iterator=self._iterator, batches_seen=count)


@contextmanager
def _readable(prefix: Path) -> Iterator[str]:
    """Give a path to a bundle that TensorFlow can read: it takes a bracket or backslash in it for a glob pattern."""
    path = os.path.abspath(prefix)
    if not _GLOB.intersection(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="ckptkit-") as folder:
        for part in _parts(prefix):
            suffix = part.name.removeprefix(prefix.name)
            os.symlink(os.path.abspath(part), os.path.join(folder, f"bundle{suffix}"))
        yield os.path.join(folder, "bundle")


def _parts(prefix: Path) -> Iterator[Path]:
    start = f"{prefix.name}."
    return (path for path in prefix.parent.iterdir() if path.name.startswith(start))
