"""``tf.train.Checkpoint``: ``ckpt-12.index`` with ``ckpt-12.data-00000-of-00001``, and the pointer ``checkpoint``.

Source: tensorflow/python/checkpoint/checkpoint_management.py (``CheckpointManager``), core/util/tensor_bundle (naming).
"""

import re
from collections import defaultdict
from collections.abc import Iterator

from ckptkit.layouts.foreign import Found, beside
from ckptkit.layouts.interface import Listing

POINTER = "checkpoint"
DATA_FILE = re.compile(r"(.+)\.data-\d{5}-of-\d{5}")
_INDEX = ".index"
_COUNT = re.compile(r".*-(\d{1,18})")


class TfTrain:
    """The layout of ``Checkpoint`` and ``CheckpointManager``, which counts its saves unless it is given a number."""

    kind = "tf_train"

    def find(self, listing: Listing) -> Iterator[Found]:
        """Yield the index files with their data; where the index is missing, the data alone."""
        shards: dict[str, list[str]] = defaultdict(list)
        for name in sorted(listing.files):
            if match := DATA_FILE.fullmatch(name):
                shards[match[1]].append(name)
        for prefix, data in shards.items():
            files = (*beside(listing, (f"{prefix}{_INDEX}",)), *data)
            match = _COUNT.fullmatch(prefix)
            count = int(match[1]) if match else None
            yield Found(files[0], files, count=count, pointers=beside(listing, (POINTER,)))
