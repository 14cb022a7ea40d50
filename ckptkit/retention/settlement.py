"""What needs a view of all runs: parents in other runs are kept with what was resumed from them, and sizes must fit."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ckptkit.retention.candidate import Candidate
from ckptkit.retention.policy import RetentionPolicy
from ckptkit.retention.quantities import format_size
from ckptkit.retention.rules import Ruling


class Settlement:
    """Settles the rulings of single runs with each other. Rulings are distinguished by identity."""

    def __init__(
        self,
        rulings: Mapping[str, list[Ruling]],
        others: Sequence[Candidate],
        policies: Mapping[str, RetentionPolicy],
    ) -> None:
        self._rulings = rulings
        self._others = others
        self._policies = policies
        self._dropped: set[int] = set()
        self._children: dict[int, list[str]] = {}

    def run(self) -> None:
        """Keep the parents of what is kept, then make the runs fit, until both hold."""
        while True:
            self._children = self._find_children()
            if not self._drop_oldest():
                return

    def outcome(self, ruling: Ruling) -> tuple[bool, tuple[str, ...]]:
        """Return whether one checkpoint stays, and the reasons."""
        policy = self._policies[ruling.candidate.run]
        if id(ruling) in self._dropped and policy.max_size is not None:
            return False, (f"over the {format_size(policy.max_size)} of max_size",)
        reasons = [*ruling.reasons, *self._children.get(id(ruling), ())]
        if reasons:
            return True, tuple(reasons)
        return False, ("no rule keeps it" if ruling.candidate.good else "damaged: fills no slot",)

    def notes(self) -> Iterable[str]:
        """Yield a line for each run whose protected checkpoints do not fit."""
        for run, found in self._rulings.items():
            limit = self._policies[run].max_size
            kept = sum(v.candidate.size for v in found if self._is_kept(v))
            if limit is not None and kept > limit:
                yield f"{run}: what is protected takes {format_size(kept)}, more than max_size {format_size(limit)}"

    def _is_kept(self, ruling: Ruling) -> bool:
        return id(ruling) not in self._dropped and bool(ruling.reasons or id(ruling) in self._children)

    def _find_children(self) -> dict[int, list[str]]:
        """Return ruling -> which kept checkpoints need it: as they were resumed from it, or name it as their best."""
        by_name = defaultdict(list)
        for found in self._rulings.values():
            for ruling in found:
                by_name[(ruling.candidate.run, ruling.candidate.step)].append(ruling)
        queue = list(self._others)
        queue += [v.candidate for vs in self._rulings.values() for v in vs if v.reasons and id(v) not in self._dropped]
        children: dict[int, set[str]] = {}
        while queue:
            child = queue.pop()
            needed = [(ref, f"resumed from by {child.run}") for ref in child.parents if ref[0] != child.run]
            needed += [(ref, f"the best one, as {child.name} says") for ref in child.best]
            for parent, reason in ((v, reason) for ref, reason in needed for v in by_name.get(ref, ())):
                if id(parent) not in children and not (parent.reasons and id(parent) not in self._dropped):
                    queue.append(parent.candidate)  # kept only now, so its own parents are kept as well
                children.setdefault(id(parent), set()).add(reason)
        return {key: sorted(reasons) for key, reasons in children.items()}

    def _drop_oldest(self) -> bool:
        """Drop what does not fit; return whether the parents must be looked at again."""
        again = False
        for run, found in self._rulings.items():
            limit = self._policies[run].max_size
            kept = [v for v in found if self._is_kept(v)]
            excess = sum(v.candidate.size for v in kept) - (limit or 0)
            for ruling in sorted(kept, key=lambda v: v.candidate.good):
                if limit is None or excess <= 0:
                    break
                if not ruling.protected and id(ruling) not in self._children:
                    self._dropped.add(id(ruling))
                    excess -= ruling.candidate.size
                    again |= bool(ruling.candidate.parents or ruling.candidate.best)
        return again
