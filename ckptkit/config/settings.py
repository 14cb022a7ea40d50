"""What a configuration says, as plain values: for the store, and for a run by its name."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from ckptkit.retention import RetentionPolicy

Level = Literal["presence", "digest", "format", "resume"]


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Settings of one run; None means that the file does not say.

    Attributes:
        resume: template of the resume command, a line or an argument list (``resume.parse_template`` reads both).
        resume_where: file, line and key of the template, for messages about it.
        retention: what ``prune`` keeps.
        level: how thoroughly ``verify`` checks.
    """

    resume: str | tuple[str, ...] | None = None
    resume_where: str | None = None
    retention: RetentionPolicy | None = None
    level: Level | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration; without arguments, an empty one.

    Attributes:
        path: the file, or None if there was none.
        store: URL or absolute path.
        digest: algorithm for new checkpoints.
        default: what applies to every run.
        runs: pattern -> settings, in the order of the file. ``*`` matches any text, ``/`` included.
    """

    path: Path | None = None
    store: str | None = None
    digest: Literal["blake3", "sha256"] | None = None
    default: RunConfig = field(default_factory=RunConfig)
    runs: Sequence[tuple[str, RunConfig]] = ()

    def for_run(self, run: str) -> RunConfig:
        """Return the settings of a run: each key from the last pattern in the file that matches and sets it.

        A ``retention`` replaces the one before it as a whole; rules of two policies are never mixed.
        """
        found = [self.default] + [settings for pattern, settings in self.runs if fnmatchcase(run, pattern)]
        told = next((s for s in reversed(found) if s.resume is not None), RunConfig())
        return RunConfig(
            resume=told.resume,
            resume_where=told.resume_where,
            retention=next((s.retention for s in reversed(found) if s.retention is not None), None),
            level=next((s.level for s in reversed(found) if s.level is not None), None),
        )
