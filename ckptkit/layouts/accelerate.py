"""Accelerate: what ``save_state`` wrote, in ``checkpoint_2/`` (its own count of saves) or in a folder of any name.

Source: accelerate/accelerator.py (``save_state``, ``automatic_checkpoint_naming``), checkpointing.py,
utils/constants.py.
"""

from collections.abc import Iterator

from ckptkit.layouts.foreign import Found, there
from ckptkit.layouts.interface import Listing
from ckptkit.layouts.numbers import end_number, step_by_word

SIGNS = ("random_states_0.pkl", "optimizer.bin", "scheduler.bin")


class Accelerate:
    """The layout of ``Accelerator.save_state``: no marker and no pointer."""

    kind = "accelerate"

    def find(self, listing: Listing) -> Iterator[Found]:
        """Yield folders that hold its files; ``step_500`` is a step, ``epoch_3`` and ``checkpoint_3`` are counts."""
        for name in listing.folders:
            if there(listing, name, SIGNS):
                yield Found(name, (name,), step=step_by_word(name, saves=True), count=end_number(name))
