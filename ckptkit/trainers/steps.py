"""At which step a checkpoint is: what the trainer's own state says, else its name, and whether the two agree."""

from collections.abc import Iterable

from ckptkit.formats.escaped import escaped
from ckptkit.trainers.interface import Seen, Told
from ckptkit.trainers.state_files import as_count

Said = tuple[str, object]
"""Which file and field, and its value: whatever stands there."""


def told_step(seen: Seen, said: Iterable[Said], *, epoch: Said | None = None) -> Told:
    """Return the step and what said it: the first that says a step, else the name, else the epoch, else any number.

    A value that is no step, and a name that gives another, are doubts.

    Args:
        seen: the checkpoint.
        said: the places in order; a value of None says nothing.
        epoch: the place of an epoch, which counts the checkpoints of a trainer that says no steps.
    """
    named, doubts = seen.found.step, []
    for place, value in said:
        if value is None:
            continue
        step = as_count(value)
        if step is None:
            doubts.append(f"{place} is {shown(value)}, which is no step")
            continue
        if named not in (None, step):
            doubts.append(f"{place} is {step}, its name says {named}")
        return Told(step, place, doubts=tuple(doubts))
    if named is not None:
        return Told(named, "its name", doubts=tuple(doubts))
    if epoch is not None and (number := as_count(epoch[1])) is not None:
        return Told(number, f"{epoch[0]}: no step is told", doubts=tuple(doubts))
    if seen.found.count is not None:
        return Told(seen.found.count, "the number in its name, which may count something else", doubts=tuple(doubts))
    return Told(doubts=tuple(doubts))


def shown(value: object) -> str:
    """Return a value of a hostile file in a few characters."""
    if isinstance(value, (str, int, float, bool, type(None))):
        try:
            return escaped(repr(value), 40)
        except ValueError:  # an integer of thousands of digits
            return "a number too long to be shown"
    return f"a {type(value).__name__}"
