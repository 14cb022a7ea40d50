"""The state inside a loader's parts (generators, changed attributes, the epoch of a sampler), taken and put back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from ckptkit_torchdata.loader_kinds import is_torchs_own
from ckptkit_torchdata.parts import Parts, Taken
from ckptkit_torchdata.state_file import Inner

_FETCHING = ("dataset", "collate", "worker_init")
"""What items are made with. The others only choose which, and what torch's RandomSampler draws at its end is one."""


class LoaderParts:
    """The parts of one loader.

    Args:
        loader: the DataLoader, as it was just built.
        ignore: places in them that hold no state.
    """

    def __init__(self, loader: Any, ignore: Sequence[str] = ()) -> None:
        self._loader = loader
        # No method of this object: in a cycle, a loader waits for its workers for seconds when it is collected.
        self._parts = Parts(partial(_roots, loader), ignore=ignore)

    def _samplers(self) -> dict[str, Any]:
        return _samplers(self._loader)

    def taken(self) -> Inner:
        """Return the state inside the loader's parts as it is now."""
        taken = self._parts.taken()
        epochs = {place: part.epoch for place, part in self._samplers().items() if _has_epoch(part)}
        return Inner(taken.generators, epochs, taken.attributes)

    def reasons(self, needed: Inner) -> list[str]:
        """Return one line for each piece that is not captured, given the state from which a resume begins."""
        late = [
            f"{place}: was made in training; a new process has nothing there to put its state into"
            for place in self._parts.late(Taken(needed.generators, needed.attributes))
        ]
        return [*self._parts.reasons(), *late]

    def refusal(self, inner: Inner, *, told: bool = False) -> str | None:
        """Return why the state cannot be put into the loader's parts, or None.

        A generator that was handed to the DataLoader or to a sampler of torch's is definition: it is there or not. What
        else is missing is told when the state is put back; so is that, where the save told that training changed it.
        """
        own = ("generator", *(f"{place}.generator" for place, part in self._samplers().items() if is_torchs_own(part)))
        here = self._parts.generators
        for place in () if told else own:
            if place in inner.generators and place not in here:
                return f"{place}: the loader that was saved had a generator there, this one has none"
            if place in here and place not in inner.generators:
                return f"{place}: this loader has a generator there, the one that was saved had none"
        return self._parts.refusal(Taken(inner.generators, inner.attributes))

    def put(self, inner: Inner) -> list[str]:
        """Put the state into the loader's parts; returns the places that are not there to take theirs."""
        lost = self._parts.put(Taken(inner.generators, inner.attributes))
        samplers = self._samplers()
        for place, epoch in inner.epochs.items():
            if not _has_epoch(samplers.get(place)):
                lost.append(f"{place}.epoch")
            elif samplers[place].epoch != epoch:
                samplers[place].set_epoch(epoch)
        return lost

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Run a block and put the state inside the loader's parts back as it was."""
        epochs = {place: part.epoch for place, part in self._samplers().items() if _has_epoch(part)}
        with self._parts.undisturbed():
            yield
        for place, epoch in epochs.items():
            if self._samplers()[place].epoch != epoch:
                self._samplers()[place].set_epoch(epoch)


def _roots(loader: Any) -> dict[str, Any]:
    roots = {"generator": loader.generator, **_samplers(loader), "dataset": looked_into(loader.dataset)}
    return {**roots, "collate": loader.collate_fn, "worker_init": loader.worker_init_fn}


def _samplers(loader: Any) -> dict[str, Any]:
    batch_sampler = loader.batch_sampler
    inner = getattr(batch_sampler, "sampler", None)
    parts = {"sampler": loader.sampler, "batch_sampler": batch_sampler}
    return parts if inner is None or inner is loader.sampler else {**parts, "batch_sampler.sampler": inner}


def looked_into(dataset: Any) -> Any:
    """Return a dataset, or None where it is nothing but its rows: these are data."""
    return None if type(dataset) in (list, tuple, dict) else dataset


def of_samplers(inner: Inner | None) -> list[str]:
    """Return the places of generators that samplers draw from; torch's RandomSampler does so at its end, too."""
    return [place for place in (inner.generators if inner else ()) if not place.startswith(_FETCHING)]


def _has_epoch(part: Any) -> bool:
    return callable(getattr(part, "set_epoch", None)) and type(getattr(part, "epoch", None)) is int
