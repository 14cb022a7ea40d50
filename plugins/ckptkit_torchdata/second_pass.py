"""Whether a second pass over an epoch will give the same indices: tried on the sampler itself, once an epoch."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ckptkit_torchdata import generators
from ckptkit_torchdata.definition import is_iterable, samplers_are_torchs
from ckptkit_torchdata.loader import ResumableLoader
from ckptkit_torchdata.loader_kinds import is_stateful
from ckptkit_torchdata.order import NotedOrder
from ckptkit_torchdata.place import Place
from ckptkit_torchdata.states import takes_state


def doubt(item: ResumableLoader, place: Place, missing: Sequence[str]) -> str | None:
    """Return why no second pass can be the same, or None.

    Args:
        item: the loader.
        place: where it is.
        missing: what is not captured of its state: then its sampler is not tried, which could move that on.
    """
    loader, at = item.loader, place.position
    if place.interleaved and item.between.told:
        return None
    if place.interleaved:
        part = "IterableDataset" if is_iterable(loader) else "sampler"
        return f"the {part} draws from the global generators in between what training draws; give it its own"
    changes = item.between.changes
    known = (samplers_are_torchs(loader) and not changes) or is_stateful(loader) or is_iterable(loader)
    if known or missing or at.start is None or at.order is None or not at.batches or _speaks(loader):
        return None
    moment = (at.epoch, at.batches if changes else 0)  # what training changes may show later
    if moment not in item.repeated:
        item.repeated = {moment: _repeats(item, place)}
    if item.repeated[moment]:
        return None
    if changes:
        return "the sampler was changed in the middle of the epoch, which a second pass over it does not repeat"
    return "the sampler gives another order at each pass, from what no generator and no attribute holds"


def _speaks(loader: Any) -> bool:
    samplers = (loader.batch_sampler, loader.sampler, getattr(loader.batch_sampler, "sampler", None))
    return any(takes_state(part) for part in samplers)


def _repeats(item: ResumableLoader, place: Place) -> bool:
    at, loader = place.position, item.loader
    assert at.globals is not None
    assert at.start is not None
    with generators.undisturbed(), item.parts.undisturbed():
        generators.put_globals(at.globals)
        item.parts.put(at.start)
        noted = NotedOrder(loader.batch_sampler if loader.batch_sampler is not None else loader.sampler)
        iter(noted)
        with suppress(StopIteration):
            for _ in range(at.batches):
                next(noted)
                noted.given()
    return noted.digest == at.order
