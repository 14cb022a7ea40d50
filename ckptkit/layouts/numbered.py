"""Whatever ends in a number, of any trainer: ``ep000050.zip``, ``iter_100/``. It is asked last."""

import re
from collections.abc import Iterator

from ckptkit.layouts.foreign import Found
from ckptkit.layouts.interface import Listing
from ckptkit.layouts.numbers import end_number, is_part, step_by_word

_FOLDER = re.compile(r"(?:[A-Za-z_-]*(?:checkpoint|ckpt|step|epoch|iter|iteration)[-_=]?)?\d+", re.IGNORECASE)
_EVENTS = ".tfevents."
"""TensorBoard's, which end in a number too."""


class Numbered:
    """The layout of nobody: only names of folders that say so, and of files, which a backend may recognise."""

    kind = "numbered"

    def find(self, listing: Listing) -> Iterator[Found]:
        """Yield folders and files by their names; no parts of what an index beside them holds together."""
        for name in listing.folders:
            if _FOLDER.fullmatch(name):
                yield Found(name, (name,), step_by_word(name), end_number(name))
        for name in listing.files:
            count = end_number(stem_of(name))
            if count is not None and not is_part(name) and _EVENTS not in name:
                yield Found(name, (name,), step_by_word(name), count)


def stem_of(name: str) -> str:
    """Return a file's name without its last suffix."""
    return name.rpartition(".")[0] or name
