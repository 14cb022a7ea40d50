"""How much of a state was saved, and what a proof of resuming says: words that manifests store for ever."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Grade = Literal["complete", "complete-with-barrier", "until", "weights-only", "partial"]
GRADES: tuple[Grade, ...] = ("complete", "complete-with-barrier", "until", "weights-only", "partial")
"""From best to worst; a checkpoint's grade is the worst of its items."""

_OLD_GRADES: Mapping[str, Grade] = {
    "exact": "complete",
    "exact-with-barrier": "complete-with-barrier",
    "exact-until": "until",
    "not-captured": "partial",
}

Verdict = Literal["same", "differs", "unproven", "environment-differs"]
"""``environment-differs``: it differs, but so does what numbers depend on (versions, threads): not a failure in
itself."""


@dataclass(frozen=True, slots=True)
class Captured:
    """How much of an item's state is in its files, and what is not.

    It says nothing about how a resume will go: that is shown (read back, replayed, rehearsed, observed), never claimed.

    Attributes:
        grade: ``complete``: every piece that this kind of state is known to have; ``complete-with-barrier``: the same,
            for a run that was reset with a seed at the save; ``until``: complete up to the point in the reasons;
            ``weights-only``: parameters, and little else; ``partial``: some known pieces are missing.
        reasons: one line for each missing piece; at least one for every grade but ``complete``.
    """

    grade: Grade = "complete"
    reasons: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Take any sequence of reasons."""
        object.__setattr__(self, "reasons", tuple(self.reasons))

    def doubted(self, reasons: Sequence[str]) -> "Captured":
        """Return the same with more reasons, and then ``partial`` at best."""
        if not reasons:
            return self
        return Captured(max("partial", self.grade, key=GRADES.index), [*self.reasons, *reasons])

    @classmethod
    def read(cls, grade: str, reasons: Sequence[str] | str | None = ()) -> "Captured":
        """Return what a file says, in current terms or those of manifests before 1.1 (``exact``, ``not-captured``).

        Raises:
            ValueError: the grade is neither.
        """
        word = _OLD_GRADES.get(grade, grade)
        if word not in GRADES:
            raise ValueError(f"{grade!r} is not a grade")
        return cls(word, [reasons] if isinstance(reasons, str) else reasons or ())
