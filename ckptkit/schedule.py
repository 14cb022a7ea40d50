"""Schedule: how often a training saves, as a value that hooks take."""

from dataclasses import dataclass, fields

from ckptkit.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How often checkpoints are saved; what is given counts, whichever falls due first.

    Attributes:
        every_steps: each time the number of training steps passes a multiple of it.
        every_epochs: at the end of every so many epochs.
        every_episodes: each time the number of finished episodes passes a multiple of it.

    Raises:
        UsageError: an interval is no whole number, or below 1.

    Example:
        >>> Schedule(every_steps=10_000).steps_due(19_999, 20_001)
        True
    """

    every_steps: int | None = None
    every_epochs: int | None = None
    every_episodes: int | None = None

    def __post_init__(self) -> None:
        for name, interval in self._given():
            if type(interval) is not int or interval < 1:
                hint = "give a whole number, 1 or more, or leave it out"
                raise UsageError(f"{name}={interval!r} is not an interval between checkpoints", hint=hint)

    def _given(self) -> list[tuple[str, object]]:
        given = [(field.name, getattr(self, field.name)) for field in fields(self)]
        return [(name, interval) for name, interval in given if interval is not None]

    def require_only(self, *names: str, where: str) -> "Schedule":
        """Return it; raises UsageError where it has an interval in what a framework does not count."""
        for name, _ in self._given():
            if name not in names:
                raise UsageError(f"{where} has no {name}", hint=f"it has {' and '.join(names)}")
        return self

    def steps_due(self, before: int, now: int) -> bool:
        """Return whether a save falls due between two numbers of steps."""
        return self.every_steps is not None and now // self.every_steps > before // self.every_steps

    def epochs_due(self, done: int) -> bool:
        """Return whether a save falls due at the end of an epoch, when so many are done."""
        return self.every_epochs is not None and done % self.every_epochs == 0
