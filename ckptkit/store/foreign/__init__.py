"""Adoption: find what trainers wrote, judge it, and give what is whole a manifest without copying a byte."""

from collections.abc import Sequence

from ckptkit.store.foreign.judging import looked_for as looked_for
from ckptkit.store.foreign.looking import Sought as Sought
from ckptkit.store.foreign.looking import look as look
from ckptkit.store.foreign.on_service import looked as looked
from ckptkit.store.foreign.outcome import Outcome as Outcome
from ckptkit.store.foreign.places import Places as Places
from ckptkit.store.foreign.places import decide as decide
from ckptkit.store.foreign.standing_in import StandIn as StandIn
from ckptkit.store.foreign.taking_in import TakingIn as TakingIn
from ckptkit.store.foreign.watched import size_of as size_of


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """Return what a command ends with: 0 where all whole ones have a manifest, see docs/reference/exit-codes.md."""
    refused = [one.error for one in outcomes if one.action == "refused" and one.error is not None]
    whole = [one for one in outcomes if one.action in ("new", "adopted", "replaced", "kept", "copy")]
    if refused:
        return 3 if whole or refused[0].exit_code != 5 else 5
    return 0 if whole else 1
