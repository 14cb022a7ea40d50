"""DeepSpeed: ``global_step100/`` (any tag will do), and a file ``latest`` with the newest tag.

Source: deepspeed/runtime/engine.py (``save_checkpoint``, ``_get_ckpt_name``).
"""

from collections.abc import Iterator

from ckptkit.layouts.foreign import Found, beside, there
from ckptkit.layouts.interface import Listing
from ckptkit.layouts.numbers import end_number, step_by_word

POINTER = "latest"
SIGNS = ("mp_rank_00_model_states.pt", "zero_pp_rank_0_mp_rank_00_model_states.pt")


class DeepSpeed:
    """The layout of ``engine.save_checkpoint``: no marker; the pointer is written when all is."""

    kind = "deepspeed"

    def find(self, listing: Listing) -> Iterator[Found]:
        """Yield folders that hold the states of the first rank."""
        for name in listing.folders:
            if there(listing, name, SIGNS):
                step = step_by_word(name, steps=True)
                yield Found(name, (name,), step, end_number(name), beside(listing, (POINTER,)), signed=True)
