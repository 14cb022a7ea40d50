"""What other distributions bring: the one place that looks for entry points, and loads what they name.

Looking reads the metadata of every installed distribution, which takes longer than most commands: it is done late, and
once in a process.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint


class LoadError(Exception):
    """An extension cannot be loaded; the message is the reason, which may have several lines: see ``reason``."""


@dataclass(frozen=True, slots=True)
class Extension:
    """One entry point: a name, and the object that some distribution brings under it.

    Attributes:
        name: name of the entry point.
        value: where the object is: ``package.module:attribute``.
        package: the distribution that brings it; empty where its metadata cannot be read.
        version: of the distribution; empty likewise.
    """

    name: str
    value: str
    package: str
    version: str
    _entry: "EntryPoint"

    @property
    def distribution(self) -> str:
        """The distribution with its version, for people; ``unknown`` where it cannot be told."""
        return f"{self.package} {self.version}" if self.package else "unknown"

    def load(self) -> Any:
        """Import what it names, and return it.

        Raises:
            LoadError: that failed, in whatever way: a stranger's code may raise anything while it is imported, and even
                try to end the process.
        """
        try:
            return self._entry.load()
        except (Exception, SystemExit) as error:
            raise LoadError(f"{type(error).__name__}: {error}") from error


@cache
def installed(group: str) -> Mapping[str, Sequence[Extension]]:
    """Return the extensions of a group by name, in order of names and values; nothing is imported.

    More than one of a name means that two distributions bring it: nobody can tell which one is meant.
    """
    found: dict[str, list[Extension]] = {}
    for entry in sorted(_all().select(group=group), key=lambda e: (e.name, e.value)):
        package, version = _origin(entry.dist)
        found.setdefault(entry.name, []).append(Extension(entry.name, entry.value, package, version, entry))
    return found


@cache
def _all() -> Any:  # of another type before Python 3.12
    # One look for all groups: each takes tens of milliseconds.
    from importlib.metadata import entry_points

    return entry_points()


@cache  # it reads the metadata, and a distribution brings several
def _origin(distribution: "Distribution | None") -> tuple[str, str]:
    try:
        return (distribution.name, distribution.version) if distribution else ("", "")
    except Exception:  # a distribution without readable metadata: what it brings may be fine all the same
        return "", ""


def reason(error: BaseException) -> str:
    """Return one line that says what was raised."""
    text = str(error) if isinstance(error, LoadError) else f"{type(error).__name__}: {error}"
    return text.strip().splitlines()[0]
