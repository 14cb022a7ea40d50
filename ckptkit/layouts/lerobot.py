"""LeRobot: ``checkpoints/005000/`` with ``pretrained_model`` and ``training_state``, and a link ``last``.

Source: lerobot/utils/train_utils.py (``get_step_identifier``, ``save_checkpoint``, ``update_last_checkpoint``),
lerobot/constants.py.
"""

import re
from collections.abc import Iterator

from ckptkit.layouts.foreign import Found, beside, there
from ckptkit.layouts.interface import Listing

MODEL, STATE = "pretrained_model", "training_state"
SIGNS = (STATE, MODEL)
_NAME = re.compile(r"\d{1,18}")
_LAST = ("last",)


class LeRobot:
    """The layout of ``lerobot-train``: no marker; the link is moved when all is written."""

    kind = "lerobot"

    def find(self, listing: Listing) -> Iterator[Found]:
        """Yield folders named by the step that hold the model or the state."""
        for name in listing.folders:
            if _NAME.fullmatch(name) and there(listing, name, SIGNS):
                yield Found(name, (name,), step=int(name), pointers=beside(listing, _LAST))
