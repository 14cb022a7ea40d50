"""How far something is that is under way: many values a second, for a bar; what was done in the end is an event."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far it is.

    Attributes:
        doing: what is done: ``save``, ``verify``, ``restore``, or the word of another command.
        of: with what: ``RUN@STEP``, or nothing where it is several.
        done: bytes of payload so far.
        total: bytes of payload in all, or None where that is not known beforehand.
        seconds: how long it has taken.
    """

    doing: str
    of: str
    done: int
    total: int | None
    seconds: float

    @property
    def rate(self) -> float:
        """Bytes a second, from the beginning."""
        return self.done / self.seconds if self.seconds > 0 else 0.0


class Meter:
    """Makes progress of what is called with the size of each block (an ``on_bytes``).

    Args:
        doing: as of ``Progress``.
        of: as of ``Progress``.
        on_progress: told how far it is, after each block.
        on_bytes: called with the size of each block, too.
    """

    def __init__(
        self,
        doing: str,
        of: str = "",
        *,
        on_progress: Callable[[Progress], None] | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> None:
        self._doing, self._of = doing, of
        self._on_progress, self._on_bytes = on_progress, on_bytes
        self._done, self._began = 0, time.monotonic()
        self._total: int | None = None

    @property
    def watched(self) -> bool:
        """Whether anybody is told how far it is: only then is it worth to find out how much there is."""
        return self._on_progress is not None

    def expect(self, total: int | None) -> None:
        """Say how many bytes there are in all, once that is known."""
        self._total = total

    def __call__(self, count: int) -> None:
        """Note a block."""
        self._done += count
        if self._on_bytes is not None:
            self._on_bytes(count)
        if self._on_progress is None:
            return
        done, seconds = self._done, time.monotonic() - self._began
        total = self._total if self._total is None or done <= self._total else None  # there is more than was expected
        self._on_progress(Progress(doing=self._doing, of=self._of, done=done, total=total, seconds=seconds))
