"""What a person writes to name checkpoints: ``RUN``, ``RUN@STEP``, ``RUN@latest``, ``RUN@best``."""

from dataclasses import dataclass

from ckptkit.errors import UsageError
from ckptkit.manifest.names import check_run, check_step


@dataclass(frozen=True, slots=True)
class Ref:
    """A parsed reference; ``step`` and ``word`` are both None for a whole run."""

    run: str
    step: int | None = None
    word: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Ref":
        """Parse a reference; raises UsageError or RunNameError."""
        run, at, selector = text.partition("@")
        check_run(run)
        if not at:
            return cls(run)
        if selector in ("latest", "best"):
            return cls(run, word=selector)
        if selector.isascii() and selector.isdigit() and len(selector) <= 13:
            return cls(run, step=check_step(int(selector)))
        raise UsageError(
            f"{text!r} names no checkpoint",
            hint="write RUN, RUN@STEP, RUN@latest or RUN@best, for example ppo/run1@5000",
        )

    @property
    def whole(self) -> bool:
        """Whether it names a run, not one of its checkpoints."""
        return self.step is None and self.word is None

    def __str__(self) -> str:
        selector = self.word if self.step is None else str(self.step)
        return self.run if selector is None else f"{self.run}@{selector}"
