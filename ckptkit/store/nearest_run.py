"""Which runs a misspelt name may mean."""

import difflib
import itertools
from collections.abc import Iterable

from ckptkit.errors import CkptkitError, NotFoundError
from ckptkit.formats.escaped import escaped
from ckptkit.storage import Storage

_MOST = 10_000  # checkpoints that are looked at: a hint is not worth a walk through a whole archive
_SHOWN = 5


def hint(storage: Storage, run: str) -> str:
    """Return one line with the runs that the name is near to, or that there are."""
    try:
        found = itertools.islice(storage.scan(skip_unreadable=True), _MOST)
        return among(run, (at.run for at in found))
    except CkptkitError:
        return NotFoundError.default_hint


def among(name: str, there: Iterable[str]) -> str:
    """Return the same for a name, or what begins as names do, among those that there are."""
    runs = [one for one in dict.fromkeys(there) if one != name]
    begin = f"{name.rstrip('/')}/"
    if below := [one for one in runs if one.startswith(begin)]:
        return f"in it are the runs {some(below)}; {escaped(begin, 80)} means all of them"
    folded = {one.casefold(): one for one in runs}
    near = [folded[one] for one in difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)]
    near = near or [one for one in runs if name.casefold() in one.casefold().split("/")][:3]
    if near:
        return f"did you mean {' or '.join(escaped(one, 80) for one in near)}?"
    if runs:
        return f"there {'are the runs' if len(runs) > 1 else 'is only the run'} {some(runs)}"
    return NotFoundError.default_hint


def some(names: Iterable[str]) -> str:
    """Return names for a message, the first five of many."""
    known = [escaped(name, 80) for name in names]
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"{', '.join(known[:_SHOWN])}{more}"
