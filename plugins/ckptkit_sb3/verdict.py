"""What a self-test found out about one kind of environment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ckptkit_sb3.shared_state import Name


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which ways of capturing an environment are right.

    Attributes:
        found: by way of capturing: None where a second environment went on alike, else what was wrong.
        outside: names outside the environment that changed while it played: they are captured beside it.
        untested: why nothing was tested.
    """

    found: Mapping[str, str | None] = field(default_factory=dict)
    outside: Sequence[Name] = ()
    untested: str | None = None

    def against(self, strategy: str) -> str | None:
        """Return what was wrong with a way of capturing, or None."""
        return self.found.get(strategy)

    def tested(self, strategy: str) -> str:
        """Return ``passed``, or why a way of capturing was not tested."""
        if strategy in self.found:
            return "passed"
        return f"not tested: {self.untested or 'the environment that was tried could not be captured in this way'}"
