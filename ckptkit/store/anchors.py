"""What this process saved and restored last in each store: from there on a run can be observed."""

import weakref
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from ckptkit.manifest.models import Manifest
from ckptkit.storage import Entry, Storage

_KEPT = 8  # an observer looks after every step: few events lie between two looks


@dataclass(slots=True, eq=False)
class Anchor:
    """A checkpoint from which this process continued; it may still be on its way to the disk.

    Attributes:
        run: name of its run.
        step: its step.
        number: which save of its run in this process, counted from 1; 0: it was restored.
        manifest: its manifest, once it is durable.
        at: where it is, once it is durable.
        failed: whether it will never be.
    """

    run: str
    step: int
    number: int = 0
    manifest: Manifest | None = None
    at: Entry | None = None
    failed: bool = False

    @property
    def durable(self) -> tuple[Entry, Manifest] | None:
        """Where it is, and its manifest; None before it is durable."""
        return None if self.at is None or self.manifest is None else (self.at, self.manifest)


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

    def captured(self, run: str, step: int) -> Anchor:
        """Note that the run goes on from what is being saved; say ``saved`` or ``failed`` of it when that is known."""
        self._saves[run] += 1
        return self._add(Anchor(run, step, self._saves[run]))

    def saved(self, at: Entry, manifest: Manifest, anchor: Anchor | None = None) -> None:
        """Note that the run was saved: just now, or what was captured before."""
        one = anchor or self.captured(at.run, manifest.step)
        one.manifest, one.at = manifest, at

    def failed(self, anchor: Anchor) -> None:
        """Note that what was captured will not be saved."""
        self._saves[anchor.run] -= 1
        anchor.failed = True

    def restored(self, at: Entry, manifest: Manifest) -> None:
        """Note that a run continues from this checkpoint."""
        self._add(Anchor(at.run, manifest.step, 0, manifest, at))

    def _add(self, anchor: Anchor) -> Anchor:
        self.mark += 1
        self._recent.append((self.mark, anchor))
        return anchor

    def needed(self) -> set[tuple[str, str]]:
        """Return run and name of each checkpoint whose proof is under way: this process must not prune it."""
        return {(at.run, at.name) for prover in list(self.provers) for at in prover.needed()}

    def since(self, mark: int, run: str) -> Iterator[Anchor]:
        """Yield what happened after the mark: saves of this run, restores of any (a resumed run may be a new one)."""
        if mark != self.mark:
            for number, anchor in list(self._recent):
                if number > mark and (not anchor.number or anchor.run == run):
                    yield anchor


_STORES: dict[str, Anchors] = {}


def of(storage: Storage) -> Anchors:
    """Return the events of a store; one object for the whole process."""
    return _STORES.setdefault(storage.url, Anchors())
