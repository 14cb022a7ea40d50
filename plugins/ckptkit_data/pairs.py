"""Counts what every two episodes have in common, in any order, from one hash per frame, in linear memory."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ckptkit_data.segments import Segments

MOST_LINKS = 4_000_000
NEAREST = 16  # of the episodes that hold a value, each is compared with this many before it


@dataclass(frozen=True, slots=True)
class Places:
    """Which values more than one episode holds: an entry per value and episode, in order of value, then of position.

    Every array is int64 of shape (entries,).

    Attributes:
        value: number of the value.
        segment: an episode that holds it.
        position: its first frame there.
        repeated: share of all frames whose value occurred before, in any episode.
        spread: share of all frames whose value is in more than one episode.
    """

    value: Any
    segment: Any
    position: Any
    repeated: float
    spread: float

    def rare(self, most: int) -> "Places":
        """Return the values that no more than ``most`` episodes hold."""
        import numpy as np

        return self.only(np.bincount(self.value)[self.value] <= most)

    def only(self, wanted: Any) -> "Places":
        """Return the entries where ``wanted``, bool of shape (entries,), is true."""
        return replace(self, value=self.value[wanted], segment=self.segment[wanted], position=self.position[wanted])


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of episodes with values in common; every array is int64 of shape (pairs,), the fullest pairs come first.

    Attributes:
        segment: the later episode.
        other_segment: the earlier one.
        count: how many different values are in both.
        start: position of the first frame of the later one that is in the earlier one.
        other: position of that frame in the earlier one.
    """

    segment: Any
    other_segment: Any
    count: Any
    start: Any
    other: Any

    def __len__(self) -> int:
        return len(self.count)

    def __iter__(self) -> Iterator[tuple[int, int, int, int, int]]:
        """Yield (segment, other_segment, count, start, other) of each."""
        columns = (self.segment, self.other_segment, self.count, self.start, self.other)
        yield from zip(*(column.tolist() for column in columns), strict=True)

    def only(self, wanted: Any) -> "Pairs":
        """Return the pairs where ``wanted``, bool of shape (pairs,), is true."""
        columns = (self.segment, self.other_segment, self.count, self.start, self.other)
        return Pairs(*(column[wanted] for column in columns))


def places_of(keys: Any, segments: Segments) -> Places:
    """Return the places of all values; ``keys`` is uint64 of shape (frames,)."""
    import numpy as np

    order = np.argsort(keys, kind="stable")  # equal values stay in order of position, so of episode too
    ordered, of = keys[order], segments.of[order]
    new: Any = np.ones(len(order), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    values = np.flatnonzero(new)
    sizes: Any = np.diff(np.append(values, len(order)))
    spread = of[values] != of[values + sizes - 1]  # the first and the last episode with the value are two
    repeated = 1 - len(values) / max(1, len(order))
    shared = int(sizes[spread].sum()) / max(1, len(order))
    new[1:] |= of[1:] != of[:-1]
    wanted = new & np.repeat(spread, sizes)
    value = np.repeat(np.cumsum(spread) - 1, sizes)[wanted]
    return Places(value, of[wanted], order[wanted], repeated if len(order) else 0.0, shared)


def pairs_of(places: Places) -> Pairs:
    """Return all pairs of episodes that have a value in common.

    Where more than 16 episodes hold a value, each is paired only with the 15 before it: what many episodes have says
    little about any two. Neighbours are always paired, so that for a value in two splits some pair crosses them.
    """
    import numpy as np

    late: list[Any] = [np.empty(0, np.int64)]
    early: list[Any] = [np.empty(0, np.int64)]
    room = MOST_LINKS
    for step in range(1, NEAREST):
        here = np.flatnonzero(places.value[step:] == places.value[:-step])
        room -= len(here)
        if not len(here) or (room < 0 and step > 1):
            break
        late.append(here + step)
        early.append(here)
    a, b = np.concatenate(late), np.concatenate(early)
    order = np.lexsort((places.position[a], places.segment[b], places.segment[a]))
    a, b = a[order], b[order]
    segment, other_segment = places.segment[a], places.segment[b]
    new: Any = np.ones(len(order), bool)
    new[1:] = (segment[1:] != segment[:-1]) | (other_segment[1:] != other_segment[:-1])
    first = np.flatnonzero(new)
    count: Any = np.diff(np.append(first, len(order)))
    fullest = np.argsort(-count, kind="stable")
    a, b = a[first[fullest]], b[first[fullest]]
    return Pairs(places.segment[a], places.segment[b], count[fullest], places.position[a], places.position[b])
