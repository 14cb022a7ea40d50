"""A problem: one finding about one file, as data with a stable code, never as an exception."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Severity = Literal["warning", "unjudged", "error", "unsafe"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding.

    Attributes:
        code: stable kebab-case word, listed in docs/reference/problems.md (third-party backends add their own).
        message: one line that says what is wrong, without the file name.
        file: path of the file relative to the checkpoint folder (while a backend checks: to the item folder).
        item: name of the item, filled in by the verification.
        severity: ``warning`` does not fail a verification; ``unjudged``: nothing wrong was found, but this installation
            cannot look into it (exit 7); ``unsafe`` means that loading would run code (exit 5).
        names: what the message counts, one by one, if there is more than one.
    """

    code: str
    message: str
    file: str | None = None
    item: str | None = None
    severity: Severity = "error"
    names: tuple[str, ...] = ()

    def located(self, *, item: str | None = None, prefix: str = "") -> "Problem":
        """Return the same problem with its item named and its file relative to the checkpoint folder."""
        file = f"{prefix}{self.file}" if self.file is not None else (prefix.rstrip("/") or None)
        return replace(self, item=item or self.item, file=file)


def fails(problems: Iterable[Problem]) -> bool:
    """Return whether any of the problems is more than a warning."""
    return any(p.severity != "warning" for p in problems)
