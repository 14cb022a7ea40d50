"""The random state inside a loader's parts (own generators, the epoch of a distributed sampler), taken and put back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ckptkit.errors import BackendError
from ckptkit_torchdata.generators import Found, capture, find, misfit, put
from ckptkit_torchdata.sheet import Inner

_MADE_LATE = ("dataset", "collate")  # these may make their generators when they are first used


def found_in(loader: Any) -> Found:
    """Return the generators in the loader's parts."""
    parts = {"generator": loader.generator, **_samplers(loader)}
    return find({**parts, "dataset": loader.dataset, "collate": loader.collate_fn})


def taken(loader: Any) -> Inner:
    """Return the random state inside the loader's parts as it is now."""
    generators = {place: capture(item) for place, item in found_in(loader).generators.items()}
    epochs = {place: part.epoch for place, part in _samplers(loader).items() if _has_epoch(part)}
    return Inner(generators, epochs)


def refusal(loader: Any, inner: Inner) -> str | None:
    """Return why the state cannot be put into the loader's parts, or None."""
    here = found_in(loader).generators
    for place, leaf in inner.generators.items():
        if place not in here:
            return f"{place}: the loader that was saved had a generator there, this one has none"
        if (reason := misfit(here[place], leaf)) is not None:
            return f"{place}: {reason}"
    for place in here:
        if place not in inner.generators and not place.startswith(_MADE_LATE):
            return f"{place}: this loader has a generator there, the one that was saved had none"
    samplers = _samplers(loader)
    missing = [place for place in inner.epochs if not _has_epoch(samplers.get(place))]
    return f"{missing[0]}: has no epoch to set, the one that was saved had" if missing else None


def put_back(loader: Any, inner: Inner) -> None:
    """Put the state into the loader's parts. Raises BackendError, and changes nothing, where it does not fit."""
    if (reason := refusal(loader, inner)) is not None:
        raise BackendError(
            f"torch-data: {reason}", hint="build dataset, sampler and loader with their generators before loading"
        )
    here = found_in(loader).generators
    for place, leaf in inner.generators.items():
        put(here[place], leaf)
    samplers = _samplers(loader)
    for place, epoch in inner.epochs.items():
        if samplers[place].epoch != epoch:
            samplers[place].set_epoch(epoch)


@contextmanager
def undisturbed(loader: Any) -> Iterator[None]:
    """Run a block and put the random state inside a loader's parts back as it was."""
    before = taken(loader)
    try:
        yield
    finally:
        put_back(loader, before)


def of_samplers(inner: Inner | None) -> list[str]:
    """Return the places of generators that samplers draw from; torch's RandomSampler does so at its end, too."""
    return [place for place in (inner.generators if inner else ()) if not place.startswith(_MADE_LATE)]


def _samplers(loader: Any) -> dict[str, Any]:
    batch_sampler = loader.batch_sampler
    inner = getattr(batch_sampler, "sampler", None)
    parts = {"sampler": loader.sampler, "batch_sampler": batch_sampler}
    return parts if inner is None or inner is loader.sampler else {**parts, "batch_sampler.sampler": inner}


def _has_epoch(part: Any) -> bool:
    return callable(getattr(part, "set_epoch", None)) and type(getattr(part, "epoch", None)) is int
