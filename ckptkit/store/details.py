"""What a caller says of a checkpoint beside its items: free texts, which are masked, and names, which are not."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ckptkit.errors import UsageError
from ckptkit.manifest import redaction


@dataclass(frozen=True, slots=True)
class Details:
    """What a manifest says beside its items.

    Attributes:
        metrics: numbers by name; NaN and infinity are kept.
        counters: whole counts by name (episode, epoch, batches_seen).
        config: JSON values; secret-looking text is masked.
        resume: template of the argument list that goes on from the checkpoint; fields such as ``{path}``.
        cwd: folder to run it in; the current one when left out.
        env: names of environment variables that it needs (never their values).
        parent: ``(run, step)`` of the checkpoint that this run was resumed from.
        boundary: ``kind``, ``requested_at``, ``saved_at``.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    resume: Sequence[str] | None = None
    cwd: str | None = None
    env: Sequence[str] = ()
    parent: tuple[str, int] | None = None
    boundary: Mapping[str, Any] | None = None

    def numbers(self) -> dict[str, float]:
        """Return the metrics as numbers; raises UsageError, without the value, for one that is not a number."""
        found = {}
        for name, value in self.metrics.items():
            try:
                found[name] = float(value)
            except (TypeError, ValueError):
                raise UsageError(f"metric {name!r} is not a number; nothing was committed") from None
        return found

    def require_open(self, items: Iterable[str], tags: Iterable[str] = (), name: str = "") -> None:
        """Raise UsageError for a secret in what is stored as it is; free texts are masked when a manifest is sealed."""
        names = {
            "the name of an item": items,
            "the name of the folder": [name],
            "a tag": tags,
            "the name of a metric": self.metrics,
            "the name of a counter": self.counters,
            "the parent": [self.parent[0]] if self.parent else [],
        }
        for what, words in names.items():
            redaction.require_open(what, words)
        redaction.require_variables(self.env)


def require_open_run(folder: Path, run: str) -> None:
    """Raise UsageError for a new run whose name has the shape of a secret; one that is there goes on as it is."""
    if not os.path.exists(folder):  # a store that may not be read is told by whoever reads it
        redaction.require_open("the run's name", [run])
