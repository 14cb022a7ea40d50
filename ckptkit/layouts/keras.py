"""Keras: ``model-05.keras``, ``05-0.31.weights.h5``; and ``latest.weights.h5`` of ``BackupAndRestore``.

Source: keras/src/callbacks/model_checkpoint.py, backup_and_restore.py.
"""

import re
from collections.abc import Iterator

from ckptkit.layouts.foreign import Found, beside
from ckptkit.layouts.interface import Listing

_SUFFIXES = (".keras", ".weights.h5")
_BACKUP = "latest.weights.h5"
_WITH_BACKUP = ("training_metadata.json",)
_WHOLE_NUMBER = re.compile(r"(?<!\d)(?<!\d\.)\d{1,18}(?!\.?\d)")
"""A number that is no part of a decimal: losses stand in these names too."""


class Keras:
    """The layout of ``ModelCheckpoint`` and ``BackupAndRestore``: files, rewritten unless named by the epoch."""

    kind = "keras"

    def find(self, listing: Listing) -> Iterator[Found]:
        """Yield models and weights, with the last whole number in their names as the epoch."""
        for name in listing.files:
            suffix = next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), None)
            if name == _BACKUP:
                yield Found(name, (name, *beside(listing, _WITH_BACKUP)), pointers=(name,))
            elif suffix is not None:
                numbers = _WHOLE_NUMBER.findall(name.removesuffix(suffix))
                yield Found(name, (name,), count=int(numbers[-1]) if numbers else None)
