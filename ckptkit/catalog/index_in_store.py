"""The index of a run in its store: what the manifests say, for every machine that lists it without having read them.

Like the index of one machine it is disposable: a summary is believed only while its manifest has the stamp that it was
read with, and only listings read it. It is written anew when much has changed since, never by a save.
"""

import contextlib
import hashlib
from functools import cache
from pathlib import Path

from ckptkit.catalog.index import Kept, is_worth, kept_of, text_of
from ckptkit.errors import CkptkitError
from ckptkit.manifest import limits, redaction, summary
from ckptkit.storage.remembering import KeepsIndex

FEW = 16
"""So many manifests are read as fast as the index; who read more of them writes it."""


def summaries(names: KeepsIndex, run: str) -> Kept:
    """Return what the store keeps of the manifests of a run."""
    try:
        data = names.read_index(run)
    except CkptkitError:
        return {}
    return {} if data is None else kept_of(data, _form())


def keep(names: KeepsIndex, run: str, now: Kept, changed: int) -> None:
    """Keep what the manifests of a run say, if enough has changed; a store that cannot be written is only slower."""
    if is_worth(changed, len(now), FEW):
        with contextlib.suppress(CkptkitError):
            replace(names, run, now)


def replace(names: KeepsIndex, run: str, now: Kept) -> None:
    """Keep what the manifests of a run say, in place of what was read before; raises StoreError."""
    names.replace_index(run, text_of(now, _form()).encode())


@cache
def _form() -> str:
    """Return what tells the code that makes summaries from any other, on whatever machine it is."""
    sources = (Path(str(module.__file__)).read_bytes() for module in (summary, redaction, limits))
    return hashlib.blake2b(b"".join(sources), digest_size=16).hexdigest()
