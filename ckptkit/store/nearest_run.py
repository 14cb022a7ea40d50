"""Which runs a misspelt name may mean."""

import difflib
import itertools

from ckptkit.errors import CkptkitError, NotFoundError
from ckptkit.formats.escaped import escaped
from ckptkit.storage import Storage

_MOST = 10_000  # checkpoints that are looked at: a hint is not worth a walk through a whole archive


def hint(storage: Storage, run: str) -> str:
    """Return one line with the runs that the name is near to, or how to see what is there."""
    try:
        found = itertools.islice(storage.scan(skip_unreadable=True), _MOST)
        runs = list(dict.fromkeys(at.run for at in found if at.run != run))
    except CkptkitError:
        return NotFoundError.default_hint
    folded = {name.casefold(): name for name in runs}
    near = [folded[one] for one in difflib.get_close_matches(run.casefold(), folded, n=3, cutoff=0.6)]
    near = near or [name for name in runs if run.casefold() in name.casefold().split("/")][:3]
    if not near:
        return NotFoundError.default_hint
    return f"did you mean {' or '.join(escaped(name, 80) for name in near)}?"
