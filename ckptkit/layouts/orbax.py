"""Orbax: ``1000/`` or ``prefix_1000/``, renamed from ``1000.orbax-checkpoint-tmp-...`` when it is whole.

Source: orbax documentation (Checkpointing API, Checkpoint format guide; atomicity on object stores).
"""

import re
from collections.abc import Iterator

from ckptkit.layouts.foreign import Found, there
from ckptkit.layouts.interface import Listing
from ckptkit.layouts.numbers import end_number

METADATA, COMMITTED = "_CHECKPOINT_METADATA", "commit_success.txt"
SIGNS = (METADATA, COMMITTED, "orbax.checkpoint")
"""The last is an empty file of the V1 API."""
_STEP = re.compile(r"(?:.*_)?(\d{1,18})(?:\.orbax-checkpoint-tmp.*)?")
UNFINISHED = ".orbax-checkpoint-tmp"


class Orbax:
    """The layout of ``CheckpointManager`` and ``StandardCheckpointer``; it keeps no pointer."""

    kind = "orbax"

    def find(self, listing: Listing) -> Iterator[Found]:
        """Yield folders with its metadata, and those that it had not finished."""
        for name in listing.folders:
            if UNFINISHED in name or there(listing, name, SIGNS):
                match = _STEP.fullmatch(name)
                marker = there(listing, name, (COMMITTED,)) or f"{name}/{METADATA}"
                step, count = (int(match[1]), None) if match else (None, end_number(name))
                yield Found(name, (name,), step, count, marker=marker, signed=True)
