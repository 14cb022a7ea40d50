"""A checkpoint as retention sees it: its place in the run, and what speaks for keeping it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ckptkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class Candidate:
    """One checkpoint that a plan decides on.

    Attributes:
        run: name of the run; rules count within a run.
        step: training step; with ``sequence`` it gives the order within the run.
        sequence: commit counter of the run.
        created_at: when it was committed, with a time zone; the clock never decides the order.
        size: bytes of all its files.
        metrics: numbers by name; NaN and infinities never rank.
        tags: names given by people.
        pinned: kept whatever the policy says.
        good: it verifies; one that does not never fills a slot.
        judged: whether this installation can tell if it verifies; what cannot be judged is neither counted nor removed.
        parents: (run, step) of the checkpoints it was resumed from.
        held: reasons why nobody may take it away: what points at it, or that nobody knows what is in it.
        shares: whether other checkpoints may have some of its bytes, too.
        best: (run, step) of the checkpoints that its own files name as the best so far: they stay as long as it does.
    """

    run: str
    step: int
    sequence: int
    created_at: datetime
    size: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    pinned: bool = False
    good: bool = True
    judged: bool = True
    parents: tuple[tuple[str, int], ...] = ()
    held: tuple[str, ...] = ()
    shares: bool = False
    best: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        if self.created_at.utcoffset() is None:
            raise UsageError(f"{self.name}: created_at has no time zone", hint="use datetime.now(timezone.utc)")

    @property
    def name(self) -> str:
        """``RUN@STEP``, as people write it."""
        return f"{self.run}@{self.step}"

    @property
    def order(self) -> tuple[int, int]:
        """Place within the run: a larger pair is newer."""
        return (self.step, self.sequence)
