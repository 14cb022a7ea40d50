"""Manifest v1 as parts; docs/reference/manifest.md says what every field means."""

from dataclasses import field
from datetime import datetime
from typing import Annotated, Any, Literal

from ckptkit.digest import DIGEST_PATTERN
from ckptkit.manifest.limits import GRADES
from ckptkit.manifest.parts import Limits
from ckptkit.manifest.parts import Part as Part

SCHEMA_VERSION = "1.3"
# Fixed width, so that the length of a manifest does not depend on the clock.
TIMESTAMP_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$"

Count = Annotated[int, Limits(least=0, most=2**63 - 1)]
Step = Annotated[int, Limits(least=0, most=10**12)]
Text = Annotated[str, Limits(most=65536)]
Name = Annotated[str, Limits(least=1, most=128)]
RunName = Annotated[str, Limits(least=1, most=1024)]
Digest = Annotated[str, Limits(pattern=DIGEST_PATTERN)]


def _is_moment(text: str) -> None:
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("is not a valid date and time") from error


Timestamp = Annotated[str, Limits(pattern=TIMESTAMP_PATTERN, also=_is_moment)]


class FileEntry(Part):
    """One payload file: path relative to the manifest's folder, size in bytes, digest of its content.

    ``trusted``: whoever saved it answers for what loading it runs; nobody judged that.
    """

    path: Annotated[str, Limits(least=1, most=1024)]
    size: Count
    digest: Digest
    trusted: bool = False


class CapturedEntry(Part):
    """How much of the item's state is in its files, with one reason for each piece that is missing."""

    grade: Literal["complete", "complete-with-barrier", "until", "weights-only", "partial"]
    reasons: list[Text] = field(default_factory=list)


class ItemEntry(Part):
    """One named piece of state, written by one backend."""

    backend: Annotated[str, Limits(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
    format_version: Annotated[int, Limits(least=1, most=10**6)]
    step: Step | None = None
    counters: dict[Name, Count] = field(default_factory=dict)
    captured: CapturedEntry
    ambient: bool = False
    hazards: list[Text] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    probe: dict[str, Any] | None = None
    files: Annotated[list[FileEntry], Limits(least=1, most=100_000)]
    path: Annotated[str, Limits(least=1, most=1024)] | None = None


class Parent(Part):
    """A checkpoint that this run was resumed from."""

    run: RunName
    step: Step


class Boundary(Part):
    """Where in the training loop the state was taken; the counts are in the unit of the trainer's request."""

    kind: Literal["step", "rollout", "episode", "epoch", "accumulation"]
    requested_at: Count
    saved_at: Count


class Resume(Part):
    """How to resume: a template of the argument list, never a shell string; only names of environment variables."""

    argv: Annotated[list[Text], Limits(least=1, most=4096)]
    cwd: Text | None = None
    env: list[Name] = field(default_factory=list)


class Git(Part):
    """Commit of the training code."""

    commit: Annotated[str, Limits(pattern=r"^[0-9a-f]{40,64}$")]
    dirty: bool


class Environment(Part):
    """What numeric results may depend on."""

    python: Name
    platform: Text
    packages: dict[Name, Text]
    threads: Count
    cpu_capability: Name | None = None
    git: Git | None = None


class Manifest(Part):
    """A checkpoint exists exactly when its manifest does."""

    schema_version: Annotated[str, Limits(pattern=r"^1\.(0|[1-9][0-9]{0,3})$")]
    run: RunName
    step: Step
    sequence: Count
    created_at: Timestamp
    parent: Parent | None = None
    origin: Parent | None = None
    counters: dict[Name, Count] = field(default_factory=dict)
    metrics: dict[Name, float] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    resume: Resume | None = None
    trainer: Annotated[str, Limits(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")] | None = None
    environment: Environment
    boundary: Boundary | None = None
    dedup: Literal["file", "tensor"] | None = None
    items: Annotated[dict[str, ItemEntry], Limits(least=1, most=1000)]
    digest: Digest

    @property
    def began_from(self) -> Parent | None:
        """The checkpoint of another run that this run began from; before ``origin`` existed, the parent said so."""
        if self.origin is None and self.parent is not None and self.parent.run != self.run:
            return self.parent
        return self.origin

    @property
    def size(self) -> int:
        """Bytes of all payload files."""
        return sum(f.size for item in self.items.values() for f in item.files)

    @property
    def grade(self) -> str:
        """The worst grade of the items."""
        return max((i.captured.grade for i in self.items.values()), key=GRADES.index)
