"""What other distributions bring: the one place that looks for entry points, and loads what they name.

Looking reads files of every installed distribution: it is done late, and once in a process.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from ckptkit import entry_points


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
        module, _, attributes = self.value.partition("[")[0].partition(":")
        try:
            target: Any = import_module(module.strip())
            for attribute in filter(None, attributes.strip().split(".")):
                target = getattr(target, attribute)
        except (Exception, SystemExit) as error:
            raise LoadError(f"{type(error).__name__}: {error}") from error
        return target


@cache
def installed(group: str) -> Mapping[str, Sequence[Extension]]:
    """Return the extensions of a group by name, in order of names and values; nothing is imported.

    More than one of a name means that two distributions bring it: nobody can tell which one is meant.
    """
    found: dict[str, list[Extension]] = {}
    for entry in sorted(entry_points.of_group(group)):
        found.setdefault(entry[0], []).append(Extension(*entry))
    return found


def reason(error: BaseException) -> str:
    """Return one line that says what was raised."""
    text = str(error) if isinstance(error, LoadError) else f"{type(error).__name__}: {error}"
    return text.strip().splitlines()[0]
