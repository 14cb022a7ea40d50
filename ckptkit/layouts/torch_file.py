"""One file of ``torch.save`` for each checkpoint: ``model_100.pt``, ``last.pt``, ``checkpoint.pth.tar``."""

import re
from collections.abc import Iterator

from ckptkit.layouts.foreign import Found, only
from ckptkit.layouts.interface import Listing
from ckptkit.layouts.numbers import end_number, is_part, step_by_word

_NAME = re.compile(r"(?P<stem>.+)\.(?:pt|pth|pth\.tar|pt\.tar)")
_MOVING = re.compile(r"(?:.*[-_.])?(?:last|latest)\.(?:pt|pth|pth\.tar|pt\.tar)")


class TorchFile:
    """The layout of training loops of one's own, and of all who write such files (YOLO, timm, fairseq)."""

    kind = "torch_file"

    def find(self, listing: Listing) -> Iterator[Found]:
        """Yield the files; the last number counts up, whatever it counts."""
        pointers = only(listing.files, _MOVING.fullmatch)
        for name in listing.files:
            if (match := _NAME.fullmatch(name)) and not is_part(match["stem"]):
                yield Found(name, (name,), step_by_word(match["stem"]), end_number(match["stem"]), pointers)
