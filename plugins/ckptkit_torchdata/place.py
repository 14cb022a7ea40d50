"""Where a loader is: what a save takes and a load goes to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ckptkit_torchdata import states as part_states
from ckptkit_torchdata.definition import draws_at_once, is_iterable, length_of
from ckptkit_torchdata.loader_parts import of_samplers
from ckptkit_torchdata.state_file import Inner, Position


@dataclass(frozen=True, slots=True)
class Place:
    """A position, with the ``state_dict`` of the parts that have one (at the epoch's start; torchdata's: at the save).

    Attributes:
        position: where the loader is.
        states: by part.
        interleaved: no second pass may be the same, so a resume takes what the next one gives.
        told: why; empty while it is found out.
    """

    position: Position = field(default_factory=Position)
    states: part_states.States = field(default_factory=dict)
    interleaved: bool = False
    told: Sequence[str] = ()


class Holder:
    """Names a loader as the part ``loader`` that a state belongs to."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader


def is_over(loader: Any, place: Place) -> bool:
    """Return whether all batches of the epoch were given, and the end of it has nothing left to do or to draw."""
    at = place.position
    busy = place.states or is_iterable(loader) or not draws_at_once(loader) or of_samplers(at.start)
    return not busy and at.batches == length_of(loader)


def with_what_is_not_here(here: Inner, saved: Inner) -> Inner:
    """Return the state that is here, with the saved one of what is first made when items are fetched."""
    generators_now = {**saved.generators, **here.generators}
    return Inner(generators_now, {**saved.epochs, **here.epochs}, {**saved.attributes, **here.attributes})
