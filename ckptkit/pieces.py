"""What a trainer needs to continue, as a table, and what the table says about the files that are there.

A backend that adopts files of other programs has one ``Trainer`` for each kind. The patterns look for names: of files,
or of whatever else the backend finds by name (members of a zip, keys of a table).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ckptkit.backend import Captured
from ckptkit.errors import DamagedError

_NUMBERED = re.compile(r"(.*[_-])(\d{1,6})(\.[A-Za-z0-9.]+)")


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of a training's state.

    Attributes:
        what: the piece, as in "no optimizer".
        names: patterns; a name that matches one of them carries the piece. None: no file of this trainer ever does.
        without: what happens to the training without it.
        when: pattern; the piece is needed only if some name matches it.
        weights: it comes with the parameters: an item with nothing beyond such pieces is ``weights-only``.
        ranks: one file for each process, numbered from 0.
        needed: patterns; if some name matches one of them, a folder without the piece was not finished: the trainer
            writes both, and cannot continue without it.
        carrier: what carries it, in words, where patterns say little.
    """

    what: str
    names: Sequence[str]
    without: str
    when: str = "*"
    weights: bool = False
    ranks: bool = False
    needed: Sequence[str] = ()
    carrier: str = ""

    @property
    def carriers(self) -> str:
        """What carries it, in words; empty if nothing ever does."""
        return self.carrier or " or ".join(self.names)

    def reasons(self, names: Sequence[str]) -> list[str]:
        """Return one line for what is missing; see ``Trainer.captured``."""
        if not _fitting(names, [self.when]):
            return []
        found = _fitting(names, self.names)
        if found:
            gaps = _gaps(found) if self.ranks else []
            return [f"no {gap}, though there are later ones: {self.without}" for gap in gaps]
        return [f"no {self.what}{f' ({self.carriers})' if self.carriers else ''}: {self.without}"]


@dataclass(frozen=True, slots=True)
class Trainer:
    """One kind of trainer, recognised by the names that it leaves, and the pieces that it needs.

    Attributes:
        name: for people.
        signs: patterns; a name that matches any of them shows that it was this trainer.
        pieces: what it needs.
    """

    name: str
    signs: Sequence[str]
    pieces: Sequence[Piece]

    def captured(self, names: Iterable[str]) -> Captured:
        """Return how much of the state is there, with one reason for each missing piece."""
        there = list(names)
        reasons = [reason for piece in self.pieces for reason in piece.reasons(there)]
        if not reasons:
            return Captured()
        more = any(_fitting(there, piece.names) for piece in self.pieces if not piece.weights)
        return Captured("partial" if more else "weights-only", reasons)

    def require_finished(self, names: Iterable[str]) -> None:
        """Raise DamagedError if a piece is missing without which the trainer cannot continue at all."""
        there = list(names)
        for piece in self.pieces:
            for reason in piece.reasons(there) if _fitting(there, piece.needed) else ():
                more = [p.what for p in self.pieces if p != piece and p.names and p.reasons(there)]
                also = f" (also missing: {', '.join(more)})" if more else ""
                raise DamagedError(
                    f"{reason}{also}; the trainer was not done with it, or it was taken away",
                    hint="name a finished checkpoint, or only the files to keep",
                )


def trainer_of(trainers: Sequence[Trainer], names: Iterable[str]) -> Trainer | None:
    """Return the first trainer that one of the names is a sign of, or None."""
    there = list(names)
    return next((trainer for trainer in trainers if _fitting(there, trainer.signs)), None)


def _fitting(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _gaps(found: Sequence[str]) -> list[str]:
    """Return the names that are missing among those of processes 0 to the highest."""
    gaps = []
    numbered = [match for name in found if (match := _NUMBERED.fullmatch(name))]
    for head, tail in sorted({(match[1], match[3]) for match in numbered}):
        ranks = {int(match[2]) for match in numbered if (match[1], match[3]) == (head, tail)}
        gaps += [f"{head}{rank}{tail}" for rank in range(min(max(ranks), 4096)) if rank not in ranks]
    return gaps
