"""``torch.distributed.checkpoint``: a folder of any name with a ``.metadata``, which is written last.

Source: torch/distributed/checkpoint/filesystem.py (``_metadata_fn``, ``DEFAULT_SUFFIX``).
"""

from collections.abc import Iterator

from ckptkit.layouts.foreign import Found, there
from ckptkit.layouts.interface import Listing
from ckptkit.layouts.numbers import end_number, step_by_word

MARKER = ".metadata"
SIGNS = (MARKER,)
SHARD = "__0_0.distcp"
"""Of the first rank: ranks write before the marker, so a checkpoint that was cut has such alone."""


class Dcp:
    """The layout of ``dcp.save``; the name is the caller's, so it may tell the step or not."""

    kind = "dcp"

    def find(self, listing: Listing) -> Iterator[Found]:
        """Yield folders with a marker or shards."""
        for name in listing.folders:
            if there(listing, name, (*SIGNS, SHARD)):
                step = step_by_word(name, steps=True)
                yield Found(name, (name,), step, end_number(name), marker=f"{name}/{MARKER}", signed=True)
