"""What a verification found of one checkpoint, together with the stamps of the files that it read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Stamp = Sequence[int | str]
"""Changes whenever a file may have changed: ``size, mtime_ns, ctime_ns, inode`` on a local store."""


@dataclass(frozen=True, slots=True)
class Known:
    """One line of the ledger.

    The digests of the files are not in it: they are those of the manifest, whose own digest is among the facts and
    whose stamp is among the stamps.

    Attributes:
        level: how far was looked.
        good: whether it verified; else it was found damaged.
        when: seconds since 1970, UTC.
        judge: which code judged it (``verification.judge``).
        stamps: by path, of all files: the manifest, those that it lists, and whatever else lay there.
        facts: what retention and a listing want to know of it, as JSON values.
        problems: what was found, as JSON values.
    """

    level: str
    good: bool
    when: float
    judge: str
    stamps: Mapping[str, Stamp]
    facts: Mapping[str, Any] = field(default_factory=dict)
    problems: Sequence[Mapping[str, Any]] = ()

    def changed(self, stamps: Mapping[str, Stamp]) -> set[str]:
        """Return the files that were changed, added or removed since."""
        if stamps == self.stamps:  # it is so nearly always
            return set()
        paths = self.stamps.keys() | stamps.keys()
        return {path for path in paths if not _same(self.stamps.get(path), stamps.get(path))}

    def encoded(self) -> str:
        """Return it as text."""
        return json.dumps(
            [
                self.level,
                self.good,
                self.when,
                self.judge,
                {path: list(stamp) for path, stamp in self.stamps.items()},
                dict(self.facts),
                list(self.problems),
            ],
            separators=(",", ":"),
        )

    @classmethod
    def decoded(cls, text: str) -> "Known":
        """Return what was encoded; raises ValueError, TypeError or AttributeError for anything else."""
        level, good, when, judge, stamps, facts, problems = json.loads(text)
        return cls(level, good, when, judge, {path: tuple(stamp) for path, stamp in stamps.items()}, facts, problems)


def _same(before: Stamp | None, now: Stamp | None) -> bool:
    """Return whether a file is as it was. A time of change of 0 is none: the file has, or had, several names."""
    if before is None or now is None:
        return False
    changes = (before[2], now[2]) if len(before) == len(now) == 4 else (0, 0)
    return [*before[:2], *before[3:]] == [*now[:2], *now[3:]] and (changes[0] == changes[1] or 0 in changes)
