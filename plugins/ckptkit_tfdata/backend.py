"""The ``tf-data`` backend: a persistent iterator written, checked, adopted, put back and proven."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from ckptkit.backend import (
    Captured,
    CheckContext,
    LoadContext,
    Problem,
    Proof,
    SaveContext,
    SavedItem,
    SnapshotContext,
)
from ckptkit.errors import BackendError, CkptkitError, DamagedError, NewerFormatError
from ckptkit.formats import given_folder
from ckptkit.formats.kinds import look_into_file
from ckptkit.formats.tf_bundle import Bundle, BundleError
from ckptkit_tfdata import checkpoint, trainers
from ckptkit_tfdata.comparison import refuse_changed
from ckptkit_tfdata.iterator import PersistentIterator
from ckptkit_tfdata.layout import counter_of, is_shard_of, layout_of, prefix_among, prefix_of
from ckptkit_tfdata.lazy_import import tensorflow
from ckptkit_tfdata.probe import UnprovableError, replay
from ckptkit_tfdata.state_file import FILE_NAME, FORMAT_VERSION, StateFile
from ckptkit_tfdata.taken import PREFIX, Taken, digests_of, item_of, take

_NO_COUNTER = "the bundle holds no batch counter: the data goes on exactly, but batches_seen starts at 0"


class TfDataBackend:
    """Saves a ``PersistentIterator`` as a TensorFlow bundle (``iterator.*``) with ``tfdata.json`` beside it."""

    name: ClassVar[str] = "tf-data"
    format_version: ClassVar[int] = FORMAT_VERSION
    looks_for: ClassVar[str] = "a bundle of tf.train.Checkpoint"

    def can_save(self, item: object, /) -> bool:
        """Return whether the object is a ``PersistentIterator``."""
        return isinstance(item, PersistentIterator)

    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        """Write position and counter.

        Raises:
            BackendError: not a ``PersistentIterator``; the dataset depends on state that no file can hold (the
                message names the op); a record file cannot be read.
        """
        return take(_own(item), proving=context.probe).write(directory, context=context)

    def snapshot(self, item: Any, /, *, context: SnapshotContext) -> Taken:
        """Let TensorFlow serialise the iterator into memory; with a probe, build the second dataset, but ask it later.

        Raises:
            BackendError: see ``save``.
        """
        return take(_own(item), proving=context.probe)

    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        """Put the position back.

        Args:
            directory: the item's folder.
            target: the ``PersistentIterator`` to continue, or None to build one from ``context.factories["dataset"]``;
                for an adopted bundle also the ``tf.train.Checkpoint`` of its training.
            context: files and factories.

        Returns:
            The target, or the new iterator.

        Raises:
            DamagedError: the files are damaged or disagree with each other.
            RefusedError: the program's settings of the dataset are others; the message names each field.
            BackendError: the dataset is not the one that was saved (the message says what changed), or the bundle
                has an object graph that this backend does not know. The target is unchanged.
        """
        if context.format_version > FORMAT_VERSION:
            raise NewerFormatError(f"tf-data: format version {context.format_version} is newer than {FORMAT_VERSION}")
        bundle = _open(directory, context)
        layout = layout_of(bundle)
        if checkpoint.is_checkpoint(target):
            _refuse_damaged(bundle)
            checkpoint.put(bundle, target)
            return target
        if not layout.loadable:
            listed = ", ".join([*layout.iterators, *layout.others][:4])
            raise BackendError(
                f"{bundle.prefix.name}: is not Checkpoint(iterator=...) with or without batches_seen, but {listed}",
                hint="give a tf.train.Checkpoint with the same objects as the target",
            )
        state_file = StateFile.read(directory) if _has_state_file(context) else None
        if state_file is None and "fingerprint" in context.metadata:
            raise DamagedError(f"{FILE_NAME}: is missing, so a changed dataset could not be found")
        fresh = _fresh(target, state_file, context)
        if state_file is not None:
            refuse_changed(state_file, fresh)
        _refuse_damaged(bundle)
        fresh.read(bundle.prefix, counter=layout.counter, save_counter=layout.save_counter)
        if state_file is not None and state_file.batches_seen != fresh.batches_seen:
            raise DamagedError(f"{FILE_NAME}: says {state_file.batches_seen} batches, the bundle {fresh.batches_seen}")
        if target is None:
            return fresh
        iterator = _own(target)
        iterator.take_over(fresh)
        return iterator

    def check(self, directory: Path, *, context: CheckContext) -> Iterator[Problem]:
        """Yield what is wrong with the files, reading every byte, without TensorFlow."""
        prefix = prefix_among(directory, context.files)
        if prefix is None:
            yield Problem("bundle-missing-index", "the files are not exactly one bundle (PREFIX.index, PREFIX.data-*)")
            return
        try:
            bundle = Bundle.open(prefix)
        except BundleError as error:
            yield error.problem
            return
        index = f"{prefix.name}.index"
        if not layout_of(bundle).iterators and (_has_state_file(context) or not layout_of(bundle).graph):
            yield Problem("bundle-no-iterator", "holds no state of a tf.data iterator", index)
        problems = look_into_file(prefix.with_name(index), file=index, kind="tf-bundle")
        yield from problems
        yield from _check_state_file(directory, context, None if problems else counter_of(bundle))

    def recognise(self, path: Path, /) -> Mapping[str, Path] | None:
        """Return the files of the one ``tf.train.Checkpoint`` that the path means: prefix, one of its files, folder.

        Of a folder that is every file in it.
        """
        try:
            prefix = prefix_of(path)
            bundle = None if prefix is None else Bundle.open(prefix)
        except OSError:
            return None
        except BundleError as error:
            return _damaged(path, error)
        if prefix is None or bundle is None or not (layout_of(bundle).iterators or layout_of(bundle).graph):
            return None
        if path.is_dir():
            return given_folder.look(path).files
        # A data file that is missing is left to the check, which names it.
        paths = [prefix.with_name(f"{prefix.name}.index"), *(shard for shard in bundle.shards if shard.is_file())]
        if prefix.name == PREFIX and (state_file := prefix.with_name(FILE_NAME)).is_file():
            paths.append(state_file)
        return {path.name: path for path in paths}

    def describe(self, directory: Path, *, context: CheckContext) -> SavedItem:
        """Return what an adopted bundle says of itself. Raises DamagedError where it cannot be read."""
        bundle = _open(directory, context)
        state_file = StateFile.read(directory) if _has_state_file(context) else None
        if state_file is not None:
            return item_of(state_file, None)
        layout = layout_of(bundle)
        count = counter_of(bundle) if layout.counter else None
        captured = (
            Captured() if layout.loadable else trainers.CHECKPOINT.captured(trainers.names(bundle.tensors.values()))
        )
        hazards = []
        if layout.iterators:
            hazards.append(
                "no fingerprint of the dataset is recorded: a changed dataset cannot be found before it is read"
            )
        if layout.loadable and count is None:
            hazards.append(_NO_COUNTER)
        counters = {} if count is None else {"batches_seen": count}
        return SavedItem({"tensors": len(bundle.tensors)}, counters=counters, captured=captured, hazards=hazards)

    def digests(self, item: Any, /) -> Mapping[str, str]:
        """Return the position and the definition; what the iterator has buffered is seen by the probe only."""
        return digests_of(item)

    def prove(self, directory: Path, *, context: LoadContext) -> Proof:
        """Load the iterator with the ``dataset`` factory and compare its next batches with the recorded ones."""
        if context.probe is None:
            return Proof("unproven", "no probe was recorded")
        if "dataset" not in context.factories:
            return Proof("unproven", "no dataset factory was given")
        try:
            iterator = self.load(directory, target=None, context=context)
            difference = replay(iterator, context.probe)
        except UnprovableError as error:
            return Proof("unproven", str(error))
        except CkptkitError as error:
            return Proof("differs", str(error))
        if difference is None:
            return Proof("same", steps=len(context.probe["batches"]), of="batches")
        saved, now = context.probe.get("tensorflow"), tensorflow().__version__
        if saved != now:
            return Proof("unproven", f"numeric environment differs (TensorFlow {saved} -> {now}): {difference}")
        return Proof("differs", difference)


def _damaged(path: Path, error: BundleError) -> Mapping[str, Path] | None:
    """Return the files of a bundle whose index is cut or overwritten, where the files beside it show that it is one."""
    prefix = prefix_of(path)
    if prefix is None or error.problem.code != "bundle-index-damaged":
        return None
    index = prefix.with_name(f"{prefix.name}.index")
    shards = sorted(file for file in prefix.parent.iterdir() if is_shard_of(prefix, file))
    if not shards:
        return None
    return given_folder.look(path).files if path.is_dir() else {file.name: file for file in (index, *shards)}


def _own(item: object) -> PersistentIterator:
    if not isinstance(item, PersistentIterator):
        raise BackendError(
            f"tf-data: a {type(item).__name__} cannot be saved or resumed",
            hint="wrap the function that builds the dataset: PersistentIterator(make_dataset)",
        )
    return item


def _fresh(target: Any | None, state_file: StateFile | None, context: LoadContext) -> PersistentIterator:
    if target is not None:
        return _own(target).twin()
    if "dataset" not in context.factories:
        raise BackendError(
            "tf-data: nothing to load into: the file holds the position, not the dataset",
            hint='pass a PersistentIterator as target, or a factory named "dataset" that returns the tf.data.Dataset',
        )
    files = [] if state_file is None else [record.path for record in state_file.record_files]
    return PersistentIterator(context.factories["dataset"], record_files=files)


def _open(directory: Path, context: CheckContext) -> Bundle:
    prefix = prefix_among(directory, context.files)
    if prefix is None:
        raise DamagedError(f"{directory.name}: does not hold exactly one bundle (PREFIX.index, PREFIX.data-*)")
    return Bundle.open(prefix)


def _refuse_damaged(bundle: Bundle) -> None:
    for problem in bundle.problems():  # TensorFlow decodes before it has compared a checksum
        raise DamagedError(f"{problem.file}: {problem.message}")


def _has_state_file(context: CheckContext) -> bool:
    return not context.files or FILE_NAME in context.files


def _check_state_file(directory: Path, context: CheckContext, count: int | None) -> Iterator[Problem]:
    try:
        state_file = StateFile.read(directory) if _has_state_file(context) else None
    except DamagedError as error:
        yield Problem("iterator-sheet-damaged", str(error).removeprefix(f"{FILE_NAME}: "), FILE_NAME)
        return
    if state_file is None:
        if FILE_NAME in context.files or "fingerprint" in context.metadata:
            yield Problem("iterator-sheet-missing", "there is no such file", FILE_NAME)
        return
    if count is not None and count != state_file.batches_seen:
        yield Problem(
            "iterator-sheet-disagrees", f"says {state_file.batches_seen} batches, the bundle {count}", FILE_NAME
        )
    for name, value in (("batches_seen", state_file.batches_seen), ("fingerprint", state_file.fingerprint)):
        if name in context.metadata and context.metadata[name] != value:
            yield Problem("iterator-sheet-disagrees", f"{name} is not what the manifest says", FILE_NAME)
