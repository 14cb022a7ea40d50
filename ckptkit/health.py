"""What an examination found, as plain values: that something is well, or what is wrong with it and what to do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        about: what it belongs to: ``installation``, ``backends``, ``configuration``, ``cache``, ``store``,
            ``file system``, ``service`` or ``runs``.
        name: stable word for what was looked at, for example ``writable``.
        state: ``warning``: it works, but less well, or not for long; ``problem``: something cannot be done.
        message: one line that says what was found.
        remedy: one line that says what to do; empty where nothing is to be done.
        details: the same as numbers and names, for programs.
    """

    about: str
    name: str
    state: State
    message: str
    remedy: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class SupportsExamine(Protocol):
    """A ``Storage`` that can say how it is; not every one can."""

    def examine(self) -> Iterator[Finding]:
        """Yield what was found by looking, and by doing in small what a save does; nothing of that stays.

        Whatever is wrong is yielded, never raised.
        """
