"""All that is known of one checkpoint without judging it: for a person who looks at it, and for `ckptkit show`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from ckptkit.catalog import manifests, shown
from ckptkit.catalog.known import Known
from ckptkit.catalog.ledger import Ledger
from ckptkit.errors import NotFoundError
from ckptkit.manifest.models import Manifest, Parent
from ckptkit.storage import Entry, SupportsLinks
from ckptkit.store import listed
from ckptkit.store.contents import Content, contents

_MOST_READ = 200
"""Manifests that are read to find out what was resumed from a checkpoint."""


@dataclass(frozen=True, slots=True)
class Description:
    """One checkpoint.

    Attributes:
        at: where it is.
        manifest: what its manifest says.
        evidence: what was shown of it since it was saved, what says most is the last.
        files: what each of its files holds, or why that cannot be read.
        pinned: whether it is pinned; None where that is not known.
        tags: its tags.
        known: what the last verification found, if no file was changed since.
        before: the checkpoint of the run before this one.
        signed_by: fingerprints of the keys that it says to be signed by: nobody has checked that.
        resumed_as: ``RUN@STEP`` of the first checkpoints that were saved after a resume from this one, as far as a few
            manifests tell.
    """

    at: Entry
    manifest: Manifest
    evidence: Sequence[shown.Shown]
    files: Sequence[Content]
    pinned: bool | None
    tags: Sequence[str]
    known: Known | None
    before: Entry | None
    resumed_as: Sequence[str]
    signed_by: Sequence[str] = ()

    @property
    def own_size(self) -> int:
        """Bytes that only this checkpoint has, and that its removal frees."""
        if self.manifest.dedup is None or not isinstance(self.at.storage, SupportsLinks):
            return self.manifest.size
        return self.at.storage.frees([self.at])

    @property
    def content(self) -> Literal["verified", "damaged", "unverified"]:
        """What the last verification found; ``unverified`` if there was none, or a file was changed since."""
        if self.known is None or (self.known.good and self.known.level == "presence"):
            return "unverified"
        return "verified" if self.known.good else "damaged"


def describe(at: Entry, ledger: Ledger) -> Description:
    """Return all that is known of a checkpoint; raises ManifestError where its manifest cannot be read."""
    manifest = manifests.require(at)
    one = next(listed.listed([listed.place_of(at)], ledger), None)
    if one is None:
        raise NotFoundError(f"{at.ref}: was removed meanwhile")
    run = list(at.storage.scan(at.run))
    older = [other for other in run if other.step is not None and other.step < manifest.step]
    return Description(
        at,
        manifest,
        shown.by_weight(shown.read(at, manifest.digest)),
        tuple(contents(at, manifest)),
        one.pinned if one.refs_problem is None else None,
        one.tags,
        one.known,
        older[-1] if older else None,
        list(_resumed_as(at, run)),
        one.signed_by,
    )


def _resumed_as(at: Entry, run: Sequence[Entry]) -> Iterator[str]:
    """Yield what went on from a checkpoint: of its own run what was saved next, of any other its first checkpoint."""
    later = [other for other in run if (other.step or 0) > (at.step or 0)]
    firsts: dict[str, Entry] = {}
    for other in at.storage.scan(skip_unreadable=True):
        if other.run != at.run:
            firsts.setdefault(other.run, other)
    own = (other.ref for other in later[:_MOST_READ] if _is_from(at, _parent(other)))
    yield from islice(own, 1)
    yield from (first.ref for first in islice(firsts.values(), _MOST_READ) if _is_from(at, _origin(first)))


def _is_from(at: Entry, origin: Parent | None) -> bool:
    return origin is not None and (origin.run, origin.step) == (at.run, at.step)


def _parent(at: Entry) -> Parent | None:
    manifest, _ = manifests.read(at)
    return None if manifest is None else manifest.parent


def _origin(at: Entry) -> Parent | None:
    manifest, _ = manifests.read(at)
    return None if manifest is None else manifest.began_from
