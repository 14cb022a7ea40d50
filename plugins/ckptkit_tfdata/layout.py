"""Where in a bundle the iterator and its counter are: the object graphs that this backend can put back."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ckptkit.formats.tf_bundle import DT_VARIANT, Bundle

_STATE = "/.ATTRIBUTES/ITERATOR_STATE"
_ITERATOR = f"iterator{_STATE}"
_COUNTER = "batches_seen/.ATTRIBUTES/VARIABLE_VALUE"
_SAVE_COUNTER = "save_counter/.ATTRIBUTES/VARIABLE_VALUE"
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_PART = re.compile(r"(.+)\.(index|data-\d{5}-of-\d{5})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Layout:
    """What a bundle holds.

    Attributes:
        iterators: keys of all iterator states in it.
        others: keys of what is neither an iterator under the name ``iterator``, nor its counters.
        counter: whether ``batches_seen`` is in it.
        save_counter: whether ``tf.train.Checkpoint.save`` wrote it.
        graph: whether a ``tf.train.Checkpoint`` of objects wrote it.
    """

    iterators: Sequence[str]
    others: Sequence[str]
    counter: bool
    save_counter: bool
    graph: bool

    @property
    def loadable(self) -> bool:
        """Whether it is ``Checkpoint(iterator=...)``, with or without ``batches_seen``, and nothing else."""
        return bool(self.iterators) and not self.others


def layout_of(bundle: Bundle) -> Layout:
    """Return the layout of a bundle; ``iterators`` is empty if it is no checkpoint of a tf.data iterator."""
    keys = bundle.tensors
    known = {_ITERATOR, _COUNTER, _SAVE_COUNTER, _OBJECT_GRAPH}
    counter = bundle.tensors.get(_COUNTER)
    return Layout(
        iterators=[k for k, t in keys.items() if k.endswith(_STATE) and t.dtype == DT_VARIANT],
        others=[k for k in keys if k not in known],
        counter=counter is not None and counter.dtype == 9 and counter.shape == (),
        save_counter=_SAVE_COUNTER in keys,
        graph=_OBJECT_GRAPH in keys,
    )


def counter_of(bundle: Bundle) -> int | None:
    """Return ``batches_seen`` as the bundle holds it, or None. Raises BundleError if its bytes are damaged."""
    return bundle.integer(_COUNTER)


def prefix_of(path: Path) -> Path | None:
    """Return the prefix of the bundle that a path means, or None.

    A path means a bundle if it is the prefix, or one of the files, or a folder that holds exactly one. A ``checkpoint``
    pointer file is never trusted: where a folder holds several bundles, the caller must say which.
    """
    if path.is_dir():
        found = {match[1] for entry in path.iterdir() if (match := _PART.fullmatch(entry.name)) and match[2] == "index"}
        return path / found.pop() if len(found) == 1 else None
    match = _PART.fullmatch(path.name)
    prefix = path.with_name(match[1]) if match else path
    return prefix if prefix.name and prefix.with_name(f"{prefix.name}.index").is_file() else None


def prefix_among(directory: Path, files: Sequence[str]) -> Path | None:
    """Return the prefix of the one bundle among an item's files (all of the folder's if none are given), or None."""
    if not files:
        return prefix_of(directory)
    found = {match[1] for name in files if (match := _PART.fullmatch(name))}
    return directory / found.pop() if len(found) == 1 else None


def is_shard_of(prefix: Path, file: Path) -> bool:
    """Return whether a file has the name of one of the data files of a bundle."""
    match = _PART.fullmatch(file.name)
    return match is not None and match[1] == prefix.name and match[2] != "index"
