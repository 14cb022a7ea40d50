"""What this process saved and restored last in each store: from there on a run can be observed."""

import weakref
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

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


class Prover(Protocol):
    """What proves checkpoints, and so needs them until it has."""

    def needed(self) -> Iterator[Entry]:
        """Yield the checkpoints whose proof is under way."""
        ...


@dataclass
class Anchors:
    """The latest events of one store in this process, whichever ``CheckpointStore`` they went through.

    Attributes:
        mark: how many events there were.
        sealed: digests of the manifests whose observation this very process sealed.
        provers: the observers that are still in use.
    """

    mark: int = 0
    sealed: set[str] = field(default_factory=set)
    provers: "weakref.WeakSet[Prover]" = field(default_factory=weakref.WeakSet)
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

    def needed(self) -> set[tuple[str, str]]:
        """Return run and name of each checkpoint whose proof is under way: this process must not prune it."""
        return {(at.run, at.name) for prover in list(self.provers) for at in prover.needed()}

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
