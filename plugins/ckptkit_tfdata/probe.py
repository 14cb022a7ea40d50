"""Proof of resume: digests of the next batches, predicted on a second dataset and replayed after a load."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

from ckptkit.errors import CkptkitError
from ckptkit_tfdata.error_text import one_line
from ckptkit_tfdata.held import Held
from ckptkit_tfdata.iterator import PersistentIterator
from ckptkit_tfdata.lazy_import import tensorflow

BATCHES = 4
_KIND = "next-batches"


class UnprovableError(ValueError):
    """No prediction can be made; the message says why."""


def twin_of(iterator: PersistentIterator) -> PersistentIterator:
    """Return an iterator of a second dataset from the factory, for ``predict``.

    A second iterator of the *same* dataset would share its seed generator with the live one and change what that gives
    after the epoch.

    Raises:
        UnprovableError: the factory fails.
    """
    with _unprovable():
        return iterator.twin()


def predict(twin: PersistentIterator, held: Held, fingerprint: str) -> dict[str, Any]:
    """Return the digests of what comes after a position.

    The live iterator may go on meanwhile: a dataset that can be saved runs no Python and shares no state.

    Args:
        twin: of ``twin_of``; it is used up.
        held: the position.
        fingerprint: of the live iterator's dataset.

    Raises:
        UnprovableError: the factory built another dataset, or the batches cannot be computed or have no digest.
    """
    with _unprovable():
        if twin.definition.fingerprint != fingerprint:
            raise UnprovableError(
                "the dataset factory builds another dataset at its second call; a process with that one is refused"
            )
        twin.put(held)
        return _take(twin, BATCHES)


@contextmanager
def _unprovable() -> Iterator[None]:
    tf = tensorflow()
    try:
        yield
    except tf.errors.OpError as error:
        raise UnprovableError(f"the next batches cannot be computed: {one_line(error)}") from error
    except CkptkitError as error:
        raise UnprovableError(str(error)) from error
    except UnprovableError:
        raise
    except Exception as error:  # the factory is the user's: the save must not die of its second call
        raise UnprovableError(f"the dataset factory failed at its second call: {one_line(error)}") from error


def replay(iterator: PersistentIterator, probe: Mapping[str, Any]) -> str | None:
    """Take as many batches as the probe has and return what differs, or None.

    Raises:
        UnprovableError: the probe is of a kind that this backend does not know, or nothing can be computed.
    """
    expected = probe.get("batches")
    if probe.get("kind") != _KIND or not isinstance(expected, list):
        raise UnprovableError(f"a probe of unknown kind {probe.get('kind')!r}")
    tf = tensorflow()
    try:
        got = _take(iterator, len(expected) + bool(probe.get("ended")))
    except tf.errors.OpError as error:
        return f"the next batches cannot be computed: {one_line(error)}"
    for number, (before, now) in enumerate(zip(expected, got["batches"], strict=False), start=1):
        if before != now:
            return f"batch {number} after the resume differs"
    if len(got["batches"]) != len(expected):
        return f"the number of batches that follow is {len(got['batches'])} instead of {len(expected)}"
    return None


def _take(iterator: PersistentIterator, count: int) -> dict[str, Any]:
    batches = [_digest(batch) for batch in islice(iterator, count)]
    version = tensorflow().__version__
    return {"kind": _KIND, "tensorflow": version, "batches": batches, "ended": len(batches) < count}


def _digest(batch: Any) -> str:
    tf = tensorflow()
    hasher = hashlib.sha256()
    for part in tf.nest.flatten(batch, expand_composites=True):
        if part is None:
            hasher.update(b"none")
            continue
        if not tf.is_tensor(part) or part.dtype in (tf.variant, tf.resource):
            raise UnprovableError("the batches hold something that has no digest (a nested dataset or a handle)")
        array = part.numpy()
        hasher.update(f"{part.dtype.name} {part.shape} ".encode())
        if part.dtype == tf.string:
            for value in array.ravel() if part.shape.rank else [array]:
                hasher.update(len(value).to_bytes(8, "little") + value)
        else:
            hasher.update(array.tobytes())
    return f"sha256:{hasher.hexdigest()}"
