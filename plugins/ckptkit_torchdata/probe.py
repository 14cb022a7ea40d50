"""Proof of resume: digests of the next batches, looked up ahead or predicted on a second loader, and replayed."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from ckptkit.errors import CkptkitError
from ckptkit.formats import strict_json
from ckptkit_torchdata import generators
from ckptkit_torchdata.definition import is_iterable
from ckptkit_torchdata.lazy_import import torch
from ckptkit_torchdata.loader import ResumableLoader
from ckptkit_torchdata.loader_kinds import is_stateful, is_torchs_own
from ckptkit_torchdata.place import Place
from ckptkit_torchdata.states import takes_state
from ckptkit_torchdata.tensor_bytes import raw_bytes

BATCHES = 2
MOST_REFETCHED = 64
"""A prediction on a second loader that must fetch more batches than this first is left out: saving would take long."""
LAST_BATCH = "last_batch"
_KIND = "next-batches"
_SEED = 0


class UnprovableError(ValueError):
    """No prediction can be made; the message says why."""


def predict(item: ResumableLoader, place: Place) -> dict[str, Any]:
    """Return digests of the batches that come next, without disturbing the loader or any generator.

    With workers the loader itself is looked into. Without, or at an epoch's start, a second loader from the factory
    goes to the place; what its items draw in this process comes from generators seeded for the probe.

    Raises:
        UnprovableError: neither is possible.
    """
    ahead = item.peek(BATCHES)
    if ahead is not None:
        return _said([digest(batch) for batch in ahead])
    if item.loader_factory is None:
        raise UnprovableError("there is no function that builds a second loader")
    only_indices = not item.loader.num_workers and not is_iterable(item.loader)
    again = 0 if is_stateful(item.loader) or only_indices else place.position.batches
    if again > MOST_REFETCHED:
        raise UnprovableError(f"a second loader would have to fetch {again} batches first")
    if item.parts.reasons(place.position.now):
        raise UnprovableError("the loader holds what cannot be put back, and a second one could move it on")
    with generators.undisturbed(), item.parts.undisturbed():
        try:
            twin = item.twin()
            _refuse_shared(item.loader, twin.loader)
            if only_indices and not is_stateful(item.loader):
                twin.skip = "sampler"
            generators.seed_globals(_SEED)
            twin.go_to(place)
            return _said(next_digests(twin, BATCHES))
        except UnprovableError:
            raise
        except CkptkitError as error:
            raise UnprovableError(str(error)) from error
        except Exception as error:  # the factory and the dataset are the user's: the save must not die of them
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise UnprovableError(f"a second loader failed: {reason}") from error


def _refuse_shared(live: Any, second: Any) -> None:
    """Raise UnprovableError where using the second loader would move the first one's parts on.

    Sharing a dataset that is only indexed is well; its generators, as those of all parts, are put back.
    """
    for role in ("batch_sampler", "sampler", "dataset"):
        part = getattr(live, role)
        moves = takes_state(part) or (is_iterable(live) if role == "dataset" else not is_torchs_own(part))
        if part is not None and part is getattr(second, role) and moves:
            raise UnprovableError(f"the second loader from the function has the {role} of the first; build a new one")


def next_digests(item: ResumableLoader, count: int) -> list[str]:
    """Return the digests of the next batches of a loader that nobody else uses; fewer at the end of the epoch."""
    item.go_there_now()
    generators.seed_globals(_SEED)
    found: list[str] = []
    for batch in item:
        found.append(digest(batch))
        if len(found) == count:
            break
    return found


def replay(item: ResumableLoader, probe: Mapping[str, Any]) -> str | None:
    """Return how the next batches of a loaded loader differ from those in the probe, or None.

    Raises:
        UnprovableError: the probe holds no batches, or is of another kind.
    """
    expected = probe.get("batches")
    if probe.get("kind") != _KIND or not isinstance(expected, list):
        raise UnprovableError(str(probe.get("why", "the probe is of an unknown kind")))
    with generators.undisturbed():
        generators.seed_globals(_SEED)
        got = next_digests(item, BATCHES)
    for number, (before, now) in enumerate(zip(expected, got, strict=False), start=1):
        if before != now:
            return f"batch {number} after the resume differs"
    return (
        None
        if len(expected) == len(got)
        else f"the number of batches that follow is {len(got)} instead of {len(expected)}"
    )


def digests(item: ResumableLoader, place: Place, fingerprint: str) -> dict[str, str]:
    """Return the digest of each part of the loader's state, and of the batch that it gave last."""
    at = place.position
    start = None if at.start is None else {"g": at.globals, "own": at.start.generators, "epochs": at.start.epochs}
    if at.start is not None and at.start.attributes:
        start = {**(start or {}), "attributes": at.start.attributes}
    attributes = {f"attributes of {holder}": _text(nodes) for holder, nodes in at.now.attributes.items()}
    said = {
        **attributes,
        "position": f"epoch {at.epoch}, batch {at.batches}, {at.batches_seen} in all",
        "definition": fingerprint,
        "order": at.order or "none",
        "epoch_start": _text(start),
        "generators": _text({"own": at.now.generators, "epochs": at.now.epochs}),
    }
    try:
        return said | ({LAST_BATCH: digest(*item.last)} if item.last else {})
    except UnprovableError:
        return said


def _said(batches: list[str]) -> dict[str, Any]:
    return {"kind": _KIND, "torch": str(torch().__version__), "batches": batches}


def _text(value: Any) -> str:
    return f"sha256:{hashlib.sha256(strict_json.dumps(value)).hexdigest()}"


def digest(batch: Any) -> str:
    """Return the digest of tensors, arrays and plain values, nested. Raises UnprovableError for anything else."""
    hasher = hashlib.sha256()
    for piece in _pieces(batch):
        hasher.update(len(piece).to_bytes(8, "little") + piece)
    return f"sha256:{hasher.hexdigest()}"


def _pieces(value: Any) -> Iterator[bytes]:
    """Yield bytes that say all of a batch: its structure, types, shapes and values."""
    if value is None or isinstance(value, (bool, int, float, complex, str)):
        yield f"{type(value).__name__} {value!r}".encode()
    elif isinstance(value, (bytes, bytearray)):
        yield bytes(value)
    elif isinstance(value, Mapping):
        yield f"{len(value)} keys".encode()
        for key, entry in value.items():
            yield from _pieces(key)
            yield from _pieces(entry)
    elif isinstance(value, (list, tuple)):
        yield f"{len(value)} entries".encode()
        for entry in value:
            yield from _pieces(entry)
    elif isinstance(value, torch().Tensor):
        if value.layout != torch().strided or value.is_quantized:
            raise UnprovableError("a batch holds a sparse or quantized tensor, which has no digest")
        yield f"{value.dtype} {tuple(value.shape)}".encode()
        yield raw_bytes(value)
    elif hasattr(value, "dtype") and callable(getattr(value, "tobytes", None)) and value.dtype != object:
        yield f"{value.dtype} {getattr(value, 'shape', ())}".encode()
        yield value.tobytes()
    else:
        raise UnprovableError(f"a batch holds a {type(value).__name__}, which has no digest")
