"""The state inside some live objects: their generators, and those attributes that changed since they were built."""

import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ckptkit_torchdata import values
from ckptkit_torchdata.entries import has
from ckptkit_torchdata.generators import capture, made, misfit, put, reseat, unknown
from ckptkit_torchdata.walk import Holder, Leave, Seen, Slot, look

Attributes = Mapping[str, Mapping[str, Any]]
_MOST_REASONS = 12
_LOG = logging.getLogger("ckptkit_torchdata")


@dataclass(frozen=True, slots=True)
class Taken:
    """State at one moment.

    Attributes:
        generators: state of each generator, by place.
        attributes: nodes of values, by place of their holder and name.
    """

    generators: Mapping[str, Any] = field(default_factory=dict)
    attributes: Attributes = field(default_factory=dict)


class Parts:
    """Some live objects, as they were when this was made, and as they are.

    What training changes is state, and what it leaves alone is definition: a path, a size, the rows of a dataset are
    never put back, so a dataset may have moved. Only values that differ from those of the moment when this was made are
    taken, and those that were put back before.

    Args:
        roots: returns the objects by name.
        ignore: places that are no state: a cache, say. What lies in them is left alone too.
        leave: see ``walk.look``.
    """

    def __init__(
        self, roots: Callable[[], Mapping[str, Any]], *, ignore: Sequence[str] = (), leave: Leave | None = None
    ) -> None:
        self._roots, self._ignore, self._leave = roots, tuple(ignore), leave
        self._built = self._look()
        self._known: set[tuple[str, str]] = set()

    def _look(self) -> Seen:
        seen = look(self._roots(), self._leave)
        for place, slots in seen.slots.items():
            for key in [key for key in slots if self._ignored(seen.holders[place].name(key))]:
                del slots[key]
        for place in [place for place in seen.generators if self._ignored(place)]:
            del seen.generators[place]
        return seen

    def _ignored(self, place: str) -> bool:
        return any(place == name or place.startswith((f"{name}.", f"{name}[", f"{name}<")) for name in self._ignore)

    @property
    def generators(self) -> Mapping[str, Any]:
        """The live generators whose state can be saved, by place."""
        return {place: item for place, item in self._look().generators.items() if unknown(item) is None}

    def taken(self) -> Taken:
        """Return the state as it is now; changes nothing in the objects."""
        seen = self._look()
        found = {place: capture(item) for place, item in seen.generators.items() if unknown(item) is None}
        changed = self._changed(seen)
        self._known |= {(place, key) for place, nodes in changed.items() for key in nodes}  # what was state stays state
        return Taken(found, changed)

    def _changed(self, seen: Seen) -> dict[str, dict[str, Any]]:
        changed: dict[str, dict[str, Any]] = {}
        for place, slots in seen.slots.items():
            built = self._built.slots.get(place, {})
            for key, slot in slots.items():
                if slot.kind == "value" and ((place, key) in self._known or not _same(built.get(key), slot)):
                    changed.setdefault(place, {})[key] = slot.content
            here = seen.holders[place].entries
            gone = [key for key, slot in built.items() if slot.kind == "value" and key not in here]
            changed |= {place: {**changed.get(place, {}), **dict.fromkeys(gone, values.ABSENT)}} if gone else {}
        for place in (place for place in self._built.generators if place not in seen.generators):
            if (home := self._built.home(place)) is not None:
                container = seen.holders.get(home[0].place, home[0]).owner
                if isinstance(container, (list, dict)) and not has(container, home[1]):
                    changed.setdefault(home[0].place, {})[home[1]] = values.ABSENT
        return changed

    def reasons(self) -> list[str]:
        """Return one line for each piece that changed, or may have, and that ``taken`` does not hold."""
        seen = self._look()
        found = [f"{place}: the state of a {reason} cannot be saved" for place, item in seen.generators.items()
                 if (reason := unknown(item)) is not None]  # fmt: skip
        if seen.cut:
            found.append("too many objects to look at")
        for place, slots in seen.slots.items():
            built, holder = self._built.slots.get(place, {}), seen.holders[place]
            for key, slot in slots.items():
                if (reason := _reason(built.get(key), slot, late=place not in self._built.slots)) is not None:
                    found.append(f"{holder.name(key)}: {reason}")
        more = len(found) - _MOST_REASONS
        return found if more <= 0 else [*found[:_MOST_REASONS], f"{more} more pieces"]

    def late(self, taken: Taken) -> list[str]:
        """Return the places of a state that were not there when the objects were built: a new process lacks them."""
        holders = [place for place in taken.attributes if place not in self._built.holders]
        missing = [place for place in taken.generators if place not in self._built.generators]
        return holders + [place for place in missing if self._built.home(place) is None]

    def refusal(self, taken: Taken) -> str | None:
        """Return why a state does not fit the objects, or None; what is not there at all is no reason."""
        here = self._look().generators
        for place, leaf in taken.generators.items():
            if place in here and (reason := misfit(here[place], leaf)) is not None and not self._replaceable(place):
                return f"{place}: {reason}"
        return None

    def _replaceable(self, place: str) -> bool:
        """Return whether another generator can be put there: training exchanged it, and the file has all of it."""
        home = self._look().home(place)
        return home is not None and not isinstance(home[0].owner, (tuple, functools.partial))

    def put(self, taken: Taken) -> list[str]:
        """Put a judged state back, what it does not name as it was at first; returns the places that are missing."""
        seen, lost = self._look(), []
        for place, leaf in taken.generators.items():
            home, here = seen.home(place), seen.generators.get(place)
            if here is not None and misfit(here, leaf) is None:
                put(here, leaf)
            elif home is not None and (here is not None or home[0].entries.get(home[1]) is None):
                lost += _put_new(home, place, leaf, here)
            else:
                lost.append(place)
        for place, nodes in taken.attributes.items():
            if place not in seen.holders:
                lost.append(place)
                continue
            self._known |= {(place, key) for key in nodes}
            lost += _put(seen, place, nodes)
        for place, slots in seen.slots.items():
            built, named = self._built.slots.get(place, {}), taken.attributes.get(place, {})
            back = {k: built[k].content for k, s in slots.items() if _was(built.get(k), s) and k not in named}
            _put(seen, place, back)
        return lost

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Run a block, and put everything back as it was."""
        before = self._look()
        states = {place: capture(item) for place, item in before.generators.items() if unknown(item) is None}
        try:
            yield
        finally:
            after = self._look()
            for place, leaf in states.items():
                if place in after.generators:
                    put(after.generators[place], leaf)
            for place, slots in before.slots.items():
                now = after.slots.get(place, {})
                if place in after.holders:
                    _put(after, place, {k: s.content for k, s in slots.items() if _was(s, now.get(k))})
                    _put(after, place, {k: values.ABSENT for k in now if k not in before.holders[place].entries})


def _put_new(home: tuple[Holder, str], place: str, leaf: dict[str, Any], here: Any) -> list[str]:
    """Put a new generator there; one that draws from another bit generator is given it, for whoever holds it."""
    try:
        if here is not None and reseat(here, leaf):
            _LOG.warning("%s: was given another bit generator in place, as it had at the save", place)
            return []
        home[0].put(home[1], made(leaf))
    except (TypeError, AttributeError, LookupError):  # a tuple, a frozen object, a list without the entries before
        return [place]
    if here is not None:
        _LOG.warning(
            "%s: one of another kind took its place, as at the save; what else holds it was not put back", place
        )
    return []


def _same(first: Slot | None, second: Slot | None) -> bool:
    if first is None or second is None or first.kind != second.kind:
        return False
    return repr(first.content) == repr(second.content)  # NaN is not equal to itself, -0.0 is equal to 0.0


def _was(built: Slot | None, now: Slot | None) -> bool:
    """Return whether an entry had another plain value."""
    return built is not None and built.kind == "value" and not _same(built, now)


def _reason(built: Slot | None, slot: Slot, *, late: bool) -> str | None:
    if slot.kind == "moving":
        return f"{slot.content} moves on as it is used, and cannot be put back"
    if slot.kind == "value" or (built is not None and _same(built, slot)):
        return None
    if slot.kind == "data":
        return "changed since it was built, and is too large to be saved as state"
    if late:
        return None  # said of what holds it
    if slot.kind == "fixed":
        # What is made at the first use is a resource (an open HDF5 file); another one in its place is not.
        made = built is None or (built.kind == "value" and built.content is None)
        return None if made else "is another object than when it was built"
    if built is not None and built.kind == "object":
        return "is another object, or has other entries, than when it was built"
    return "was made after the loader was built, so that a new process has nothing to put its state into"


def _put(seen: Seen, place: str, nodes: Mapping[str, Any]) -> list[str]:
    holder, slots, lost = seen.holders[place], seen.slots.get(place, {}), []
    for key, node in nodes.items():
        now = slots.get(key)
        try:
            if node == values.ABSENT:
                if key in holder.entries and holder.drop is not None:
                    holder.drop(key)
            elif now is None and holder.drop is None:
                lost.append(holder.name(key))  # only an object's own attributes may be new
            elif now is not None and now.kind not in ("value", "data"):
                lost.append(holder.name(key))
            else:
                made = values.decode(node, holder.entries.get(key))
                if made is not holder.entries.get(key):
                    holder.put(key, made)
        except (TypeError, AttributeError):  # a tuple, a frozen object
            lost.append(holder.name(key))
    return lost
