"""Sees what the training loop changes in a loader between two batches, which no second pass over the epoch repeats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ckptkit_torchdata.definition import is_iterable, length_of
from ckptkit_torchdata.generators import kind_of
from ckptkit_torchdata.loader_kinds import is_stateful, is_torchs_own
from ckptkit_torchdata.states import takes_state

_MOST_ENTRIES = 65536  # of a list: what is longer is data, and is compared by what it is and its length


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was there: entries by place, and what the ``state_dict`` of each part said, as text by place and key."""

    entries: Mapping[str, Any] = field(default_factory=dict)
    states: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class BetweenBatches:
    """Compares a loader's samplers before each fetch with how the last fetch left them.

    Args:
        loader: the DataLoader, as it was just built.

    Attributes:
        changes: how many were found since the epoch began.
        told: the reasons of the save from which the epoch goes on, if no second pass over it may be the same.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._built = self._shared()
        self._always: dict[str, None] = {}
        self.begin()
        self.rest()

    def begin(self, *, told: Sequence[str] = ()) -> None:
        """Start an epoch, or go into one that was saved: what was changed before it is in the state it starts from."""
        self.changes, self.told = 0, told
        self._epoch: dict[str, None] = {}

    def rest(self) -> None:
        """Note how the loader is, now that it was used; what it changes itself is no change of the loop's."""
        self._seen = self._see()

    def look(self, *, begun: bool) -> None:
        """Find what was changed since ``rest``; ``begun`` says whether the epoch has begun."""
        before, now = self._seen, self._see()
        named = {place for place in {*before.entries, *now.entries} if not _same(before.entries, now.entries, place)}
        moved = {place for place in {*before.states, *now.states} if before.states.get(place) != now.states.get(place)}
        for place in now.states:
            set_there = sorted(name for name in named if name.startswith(f"{place}."))
            then, here = before.states.get(place, {}), now.states[place]
            if len(set_there) > sum(then.get(key) != here.get(key) for key in {*then, *here}):
                self._always[f"{', '.join(set_there)}: was changed, and the state_dict of the {place} lacks it"] = None
        if begun and (named or moved):
            self.changes += 1
            self._epoch |= dict.fromkeys(self._of_this_epoch(named, moved))
        self._seen = now

    def reasons(self) -> list[str]:
        """Return one line for each piece that a new process lacks, or cannot reach by a second pass."""
        return [
            *self.told,
            *self._always,
            *self._epoch,
            *(f"{place}: {why}" for place, why in self.exchanged().items()),
        ]

    def exchanged(self) -> dict[str, str]:
        """Return why what has its own generator, or shares one, is not what a new process builds, by place."""
        now, built = self._shared(), self._built
        places = [place for place in {**built, **now} if built.get(place) != now.get(place)]
        return {place: _exchanged(built.get(place), now.get(place)) for place in places}

    def _of_this_epoch(self, named: set[str], moved: set[str]) -> list[str]:
        found = [f"{place}: its state_dict was changed in the middle of the epoch" for place in sorted(moved)]
        for name in sorted(named):
            part = self._parts().get(name.rpartition(".")[0])
            if name in self._generators():
                found.append(f"{name}: another one took its place in the middle of an epoch that draws from the first")
            elif self._loader.num_workers and part is not None and not is_torchs_own(part):
                found.append(f"{name}: was changed in the middle of the epoch, when workers had read ahead")
        return found

    def _parts(self) -> dict[str, Any]:
        loader = self._loader
        parts = {"sampler": loader.sampler, "batch_sampler": loader.batch_sampler}
        parts["batch_sampler.sampler"] = getattr(loader.batch_sampler, "sampler", None)
        if parts["batch_sampler.sampler"] is loader.sampler:
            del parts["batch_sampler.sampler"]
        return {place: part for place, part in parts.items() if part is not None}

    def _generators(self) -> dict[str, Any]:
        """Return the generator of the loader and of each sampler of torch's, None where there is none."""
        own = {f"{place}.generator": part for place, part in self._parts().items() if is_torchs_own(part)}
        held = {place: getattr(part, "generator", None) for place, part in own.items() if hasattr(part, "generator")}
        return {"generator": self._loader.generator, **held}

    def _shared(self) -> dict[str, str | None]:
        """Return for each generator and inner sampler the first place that has the same one, None where is none."""
        found: dict[int, str] = {}
        inner = getattr(self._loader.batch_sampler, "sampler", None)
        items = {"sampler": self._loader.sampler, "batch_sampler.sampler": inner, **self._generators()}
        return {place: None if item is None else found.setdefault(id(item), place) for place, item in items.items()}

    def _see(self) -> _Seen:
        if is_stateful(self._loader):
            return _Seen()
        entries: dict[str, Any] = {"dataset's length": length_of(self._loader.dataset), **self._generators()}
        states, speaking = {}, {**self._parts()}
        if not is_iterable(self._loader):
            speaking["dataset"] = self._loader.dataset
        for place, part in speaking.items():
            if place != "dataset" or takes_state(part):
                held = getattr(part, "__dict__", {})
                entries |= {f"{place}.{name}": _content(held[name]) for name in held if name not in _ELSEWHERE}
            if takes_state(part):
                states[place] = {str(key): repr(value) for key, value in part.state_dict().items()}
        return _Seen(entries, states)


_ELSEWHERE = ("epoch", "generator", "sampler")
"""Attributes that are saved, or compared, on their own."""


def _content(value: Any) -> Any:
    """Return what is equal, or the same object, as long as an attribute is not changed; cheap for large ones."""
    if isinstance(value, (bool, int, float, str, type(None))):
        return repr(value)
    if isinstance(value, (list, tuple)) and len(value) <= _MOST_ENTRIES:
        try:
            return f"{type(value).__name__} {hash(tuple(value))}"
        except TypeError:  # an entry without a hash
            return f"{type(value).__name__} {len(value)}"
    version = getattr(value, "_version", None)  # of a tensor: moves on with each change in place
    if isinstance(value, (list, tuple, dict, set)) or isinstance(version, int):
        return f"{id(value)} {len(value) if version is None else version}"
    return "generator" if kind_of(value) is not None else type(value).__qualname__


def _same(before: Mapping[str, Any], now: Mapping[str, Any], place: str) -> bool:
    missing = object()
    first, second = before.get(place, missing), now.get(place, missing)
    return first is second or (isinstance(first, (str, int)) and first == second)


def _exchanged(built: str | None, now: str | None) -> str:
    if now is None:
        return "training took it away; a new process has one"
    if built is None:
        return "training put one there; a new process has none"
    return "training put another one there; a new process shares it as it was built"
