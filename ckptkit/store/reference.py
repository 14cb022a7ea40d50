"""What a person writes to name checkpoints: ``RUN``, ``RUN@STEP``, ``RUN@latest``, ``RUN@best``."""

from dataclasses import dataclass

from ckptkit.errors import UsageError
from ckptkit.manifest.names import check_run, check_step
from ckptkit.storage import Entry


@dataclass(frozen=True, slots=True)
class Ref:
    """What names checkpoints of one run: the whole run, or one of it.

    Attributes:
        run: name of the run.
        step: of this step.
        word: ``latest`` or ``best``.
        name: the one that lies under this name, which a path tells even where two claim one step.
        removed: the one that is this entry of the run's trash.
    """

    run: str
    step: int | None = None
    word: str | None = None
    name: str | None = None
    removed: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Ref":
        """Parse a reference; raises UsageError or RunNameError."""
        run, at, selector = text.partition("@")
        check_run(run)
        if not at:
            return cls(run)
        found = selected(selector)
        if found is None:
            raise UsageError(
                f"{text[:80]!r} names no checkpoint",
                hint="write RUN, RUN@STEP, RUN@latest or RUN@best, for example ppo/run1@5000",
            )
        return cls(run, *found)

    @property
    def whole(self) -> bool:
        """Whether it names a run, not one of its checkpoints."""
        return (self.step, self.word, self.name, self.removed) == (None, None, None, None)

    def covers(self, at: Entry) -> bool:
        """Return whether a checkpoint of the run is one of those it names, whichever is the latest or the best."""
        return self.step in (None, at.step) and self.name in (None, at.name)

    def __str__(self) -> str:
        selector = self.word if self.step is None else str(self.step)
        if selector is None and self.name is not None:
            selector = self.name
        return self.run if selector is None else f"{self.run}@{selector}"


def selected(selector: str) -> tuple[int | None, str | None] | None:
    """Return step and word of what stands behind ``@``, or None where that is neither; raises UsageError."""
    if selector in ("latest", "best"):
        return None, selector
    if selector.isascii() and selector.isdigit() and len(selector) <= 13:
        return check_step(int(selector)), None
    return None
