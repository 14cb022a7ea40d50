"""What needs a view of all runs: parents in other runs are kept with what was resumed from them, and sizes must fit."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ckptkit.retention.candidate import Candidate
from ckptkit.retention.policy import RetentionPolicy
from ckptkit.retention.quantities import format_size
from ckptkit.retention.rules import Verdict


class Settlement:
    """Settles verdicts of single runs with each other. Verdicts are told apart by identity."""

    def __init__(
        self,
        verdicts: Mapping[str, list[Verdict]],
        others: Sequence[Candidate],
        policies: Mapping[str, RetentionPolicy],
    ) -> None:
        self._verdicts = verdicts
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

    def outcome(self, verdict: Verdict) -> tuple[bool, tuple[str, ...]]:
        """Return whether one checkpoint stays, and the reasons."""
        policy = self._policies[verdict.candidate.run]
        if id(verdict) in self._dropped and policy.max_size is not None:
            return False, (f"over the {format_size(policy.max_size)} of max_size",)
        reasons = [*verdict.reasons, *(f"resumed from by {run}" for run in self._children.get(id(verdict), ()))]
        if reasons:
            return True, tuple(reasons)
        return False, ("no rule keeps it" if verdict.candidate.good else "damaged: fills no slot",)

    def notes(self) -> Iterable[str]:
        """Yield a line for each run whose protected checkpoints do not fit."""
        for run, found in self._verdicts.items():
            limit = self._policies[run].max_size
            kept = sum(v.candidate.size for v in found if self._is_kept(v))
            if limit is not None and kept > limit:
                yield f"{run}: what is protected takes {format_size(kept)}, more than max_size {format_size(limit)}"

    def _is_kept(self, verdict: Verdict) -> bool:
        return id(verdict) not in self._dropped and bool(verdict.reasons or id(verdict) in self._children)

    def _find_children(self) -> dict[int, list[str]]:
        """Return verdict -> runs with a kept checkpoint that was resumed from it."""
        by_name = defaultdict(list)
        for found in self._verdicts.values():
            for verdict in found:
                by_name[(verdict.candidate.run, verdict.candidate.step)].append(verdict)
        queue = list(self._others)
        queue += [v.candidate for vs in self._verdicts.values() for v in vs if v.reasons and id(v) not in self._dropped]
        children: dict[int, set[str]] = {}
        while queue:
            child = queue.pop()
            for parent in (v for ref in child.parents if ref[0] != child.run for v in by_name.get(ref, ())):
                if id(parent) not in children and not (parent.reasons and id(parent) not in self._dropped):
                    queue.append(parent.candidate)  # kept only now, so its own parents are kept as well
                children.setdefault(id(parent), set()).add(child.run)
        return {key: sorted(names) for key, names in children.items()}

    def _drop_oldest(self) -> bool:
        """Drop what does not fit; return whether the parents must be looked at again."""
        again = False
        for run, found in self._verdicts.items():
            limit = self._policies[run].max_size
            kept = [v for v in found if self._is_kept(v)]
            excess = sum(v.candidate.size for v in kept) - (limit or 0)
            for verdict in sorted(kept, key=lambda v: v.candidate.good):
                if limit is None or excess <= 0:
                    break
                if not verdict.protected and id(verdict) not in self._children:
                    self._dropped.add(id(verdict))
                    excess -= verdict.candidate.size
                    again |= bool(verdict.candidate.parents)
        return again
