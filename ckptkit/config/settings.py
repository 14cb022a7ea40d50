"""What a configuration says, as plain values: for the store, and for a run by its name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ckptkit.retention import RetentionPolicy
    from ckptkit.rules import Rule

Level = Literal["presence", "digest", "format", "resume"]


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Settings of one run; None means that the file does not say.

    Attributes:
        resume: template of the resume command, a line or an argument list (``resume.parse_template`` reads both).
        resume_where: file, line and key of the template, for messages about it.
        retention: what ``prune`` keeps.
        level: how thoroughly ``verify`` checks.
        require: rules that ``verify`` judges the run by.
    """

    resume: str | tuple[str, ...] | None = None
    resume_where: str | None = None
    retention: "RetentionPolicy | None" = None
    level: Level | None = None
    require: "tuple[Rule, ...] | None" = None


@dataclass(frozen=True, slots=True)
class Mirror:
    """Where each checkpoint is copied to after it was saved.

    Attributes:
        url: of that store: a URL or an absolute path.
        retention: what ``prune --mirror`` keeps there of each run.
    """

    url: str
    retention: "RetentionPolicy | None" = None


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration; without arguments, an empty one.

    Attributes:
        path: the file, or None if there was none.
        store: URL or absolute path.
        mirror: the store that ``store`` is copied to.
        digest: algorithm for new checkpoints.
        dedup: what new checkpoints store only once.
        scratch: ``DIR[,SIZE]``: where copies of what lies on a service are checked, and how much at once.
        sign: file of the private key that signs new checkpoints.
        default: what applies to every run.
        runs: pattern -> settings, in the order of the file. ``*`` matches any text, ``/`` included.
        lines: the line of each key in the file, by its place.
        trainers: kind of a trainer's layout -> template of the command that resumes what it wrote, and file, line and
            key of it.
    """

    path: Path | None = None
    store: str | None = None
    mirror: Mirror | None = None
    digest: Literal["blake3", "sha256"] | None = None
    dedup: Literal["off", "file", "tensor"] | None = None
    scratch: str | None = None
    sign: Path | None = None
    default: RunConfig = field(default_factory=RunConfig)
    runs: Sequence[tuple[str, RunConfig]] = ()
    lines: Mapping[tuple[str | int, ...], int] = field(default_factory=dict, compare=False, repr=False)
    trainers: Mapping[str, tuple[str | tuple[str, ...], str]] = field(default_factory=dict)

    def for_run(self, run: str) -> RunConfig:
        """Return the settings of a run: each key from the last pattern in the file that matches and sets it.

        A ``retention`` replaces the one before it as a whole; rules of two policies are never mixed.
        """
        told = self._told(run, "resume")[1]
        return RunConfig(
            resume=told.resume,
            resume_where=told.resume_where,
            retention=self._told(run, "retention")[1].retention,
            level=self._told(run, "level")[1].level,
            require=self._told(run, "require")[1].require,
        )

    def said_of(self, run: str | None, key: str) -> tuple[str | None, Any]:
        """Return the pattern that says a key of a run (None: the top of the file), and the value (None: nobody)."""
        pattern, settings = self._told(run, key)
        return pattern, getattr(settings, key)

    def line(self, *place: str) -> str:
        """Return ``FILE:LINE`` of a key, or of what is around it."""
        known = place
        while known and known not in self.lines:
            known = known[:-1]
        return f"{self.path}:{self.lines[known]}" if known else str(self.path)

    def _told(self, run: str | None, key: str) -> tuple[str | None, RunConfig]:
        """Return the settings that say a key of a run, and their pattern; empty ones where none do."""
        matching = [] if run is None else [(p, settings) for p, settings in self.runs if fnmatchcase(run, p)]
        found: list[tuple[str | None, RunConfig]] = [(None, self.default), *matching]
        told = (one for one in reversed(found) if getattr(one[1], key) is not None)
        return next(told, (None, RunConfig()))
