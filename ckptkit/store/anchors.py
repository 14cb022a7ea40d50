"""What this process saved and restored last in each store: from there on a run can be observed."""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from ckptkit.manifest.models import Manifest
from ckptkit.storage import Entry, Storage

_KEPT = 8  # an observer looks after every step: few events lie between two looks


@dataclass(frozen=True, slots=True)
class Anchor:
    """A checkpoint from which this process continued.

    Attributes:
        at: where it is.
        manifest: its manifest.
        number: which save of its run in this process, counted from 1; 0: it was restored.
    """

    at: Entry
    manifest: Manifest
    number: int = 0


@dataclass
class Anchors:
    """The latest events of one store in this process, whichever ``CheckpointStore`` they went through.

    Attributes:
        mark: how many events there were.
        sealed: digests of the manifests whose observation this very process sealed.
    """

    mark: int = 0
    sealed: set[str] = field(default_factory=set)
    _recent: deque[tuple[int, Anchor]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    _saves: Counter[str] = field(default_factory=Counter)

    def saved(self, at: Entry, manifest: Manifest) -> None:
        """Note that the run was just saved."""
        self._saves[at.run] += 1
        self._add(Anchor(at, manifest, self._saves[at.run]))

    def restored(self, at: Entry, manifest: Manifest) -> None:
        """Note that a run continues from this checkpoint."""
        self._add(Anchor(at, manifest))

    def _add(self, anchor: Anchor) -> None:
        self.mark += 1
        self._recent.append((self.mark, anchor))

    def since(self, mark: int, run: str) -> Iterator[Anchor]:
        """Yield what happened after the mark: saves of this run, restores of any (a resumed run may be a new one)."""
        if mark != self.mark:
            for number, anchor in list(self._recent):
                if number > mark and (not anchor.number or anchor.at.run == run):
                    yield anchor


_STORES: dict[str, Anchors] = {}


def of(storage: Storage) -> Anchors:
    """Return the events of a store; one object for the whole process."""
    return _STORES.setdefault(storage.url, Anchors())
