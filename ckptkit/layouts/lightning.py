"""Lightning: ``epoch=1-step=48.ckpt``, ``last.ckpt``; folders of such names where weights are sharded.

Source: lightning/pytorch/callbacks/model_checkpoint.py (``format_checkpoint_name``, ``CHECKPOINT_NAME_LAST``).
"""

import re
from collections.abc import Iterator

from ckptkit.layouts.foreign import Found, only
from ckptkit.layouts.interface import Listing

SUFFIX = ".ckpt"
_STEP = re.compile(r"(?:^|[^a-z])step=(?P<step>\d{1,18})(?:-v\d+)?(?=-|$)")
_EPOCH = re.compile(r"(?:^|[^a-z])epoch=(\d{1,18})(?!\d)")
_LAST = re.compile(r"last(?:-v\d+)?\.ckpt")


def step_of(name: str) -> int | None:
    """Return the ``global_step`` in a name."""
    match = _STEP.search(name.removesuffix(SUFFIX)) if name.endswith(SUFFIX) else None
    return int(match["step"]) if match else None


def epoch_of(name: str) -> int | None:
    """Return the epoch in a name."""
    match = _EPOCH.search(name)
    return int(match[1]) if match else None


class Lightning:
    """The layout of ``ModelCheckpoint``. ``last.ckpt`` is a copy or a link, and may be the only one.

    Programs may name the files as they like: ``best.ckpt``.
    """

    kind = "lightning"

    def find(self, listing: Listing) -> Iterator[Found]:
        """Yield every file of that suffix, and folders that have an epoch or a step in their names."""
        names = [name for name in (*listing.files, *listing.folders) if name.endswith(SUFFIX)]
        files = set(listing.files)
        pointers = only(names, _LAST.fullmatch)
        for name in names:
            step, epoch = step_of(name), epoch_of(name)
            if step is not None or epoch is not None or name in pointers or name in files:
                yield Found(name, (name,), step, epoch, pointers)
