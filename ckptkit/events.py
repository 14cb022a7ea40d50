"""What happened to a store, as plain values: saved, verified, restored, copied, pruned, and what was marked since.

Listeners and recorders are told these (``CheckpointStore.listen``, docs/how-to/record-what-happens.md). An event holds
text, numbers and containers of them: no path, no live object. Text that may quote what a program said is masked as in a
manifest.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from ckptkit.formats import strict_json

SCHEMA_VERSION = "1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event says.

    One value is handed to all who listen: change nothing in it.

    Attributes:
        kind: ``saved``, ``verified``, ...
        store: absolute path of a local store, URL of any other.
        when: when it was done; UTC, ISO 8601.
        seconds: how long it took.
        id: differs for each event, so that one that is delivered twice can be stored once.
    """

    kind: ClassVar[str] = ""
    store: str
    when: str
    seconds: float
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def fields(self) -> dict[str, Any]:
        """Return it as new JSON values, with its kind as ``event``; NaN is ``{"$number": "NaN"}``, as in a manifest."""
        values = {"schema_version": SCHEMA_VERSION, "event": self.kind, **asdict(self)}
        found: dict[str, Any] = json.loads(strict_json.dumps(values))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class OfCheckpoint(Event):
    """What happened to one checkpoint.

    Attributes:
        run: name of the run.
        step: its step; None where not even the folder's name says one.
        ref: ``RUN@STEP``.
        name: name of its folder in the run, or the stem of its files.
    """

    run: str
    step: int | None
    ref: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemSaved:
    """One item of what was saved: its name, its backend, the bytes of its files, and how much of it was captured."""

    name: str
    backend: str
    size: int
    captured: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved(OfCheckpoint):
    """A checkpoint was committed; it has taken the place of any other of its step.

    Attributes:
        sequence: commit counter of the run.
        size: bytes of all payload files.
        captured: the worst grade of the items.
        items: the items.
        metrics: numbers by name.
        counters: whole counts by name.
        config: JSON values of the run, masked.
        tags: its tags.
        parent: the checkpoint that the run was resumed from, as ``RUN@STEP``, or None.
        digest: of its manifest: what tells it from any other of its step.
        in_place: whether a trainer's files became a checkpoint where they were.
        warnings: codes of what was found in its files.
    """

    kind: ClassVar[str] = "saved"
    sequence: int
    size: int
    captured: str
    items: tuple[ItemSaved, ...]
    metrics: Mapping[str, float]
    counters: Mapping[str, int]
    config: Mapping[str, Any]
    tags: tuple[str, ...]
    parent: str | None
    digest: str
    in_place: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified(OfCheckpoint):
    """A checkpoint was verified because somebody asked for it, not on the way to something else.

    Attributes:
        level: ``presence``, ``digest``, ``format`` or ``resume``.
        good: whether it may be resumed from.
        judged: False where nothing wrong was found, but not all could be looked into here.
        problems: codes of what fails it.
        warnings: codes of what does not.
        bytes_read: bytes of payload that were read.
        remembered: whether nothing was read, as it had verified before and no file was touched since.
        digest: of its manifest; None where that cannot be read, as ``captured``.
        captured: the worst grade of its items.
        shown: what says most of what was shown of it so far (``rehearsed 8``), or None.
        proofs: by item, the verdict of level ``resume``.
    """

    kind: ClassVar[str] = "verified"
    level: str
    good: bool
    judged: bool
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    bytes_read: int
    remembered: bool
    digest: str | None
    captured: str | None
    shown: str | None
    proofs: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored(OfCheckpoint):
    """A checkpoint was put back.

    Attributes:
        into: live ``objects``; the files of a new ``folder``; or by the ``framework`` itself, which the store was told.
        asked: the run that was asked for; another one where it was followed to the run that continued it.
        items: names of what was put back.
        left: names of what was not.
        size: bytes of the files of what was put back.
        digest: of its manifest.
        skipped: one line for each newer checkpoint that does not verify.
        followed: one line for each run that was followed.
    """

    kind: ClassVar[str] = "restored"
    into: Literal["objects", "folder", "framework"]
    asked: str
    items: tuple[str, ...]
    left: tuple[str, ...]
    size: int
    digest: str
    skipped: tuple[str, ...]
    followed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied(OfCheckpoint):
    """A checkpoint was copied to another store: by ``copy``, to the mirror, or from there.

    Attributes:
        to: absolute path or URL of that store.
        size: bytes of its files.
        digest: of its manifest, the same in both.
    """

    kind: ClassVar[str] = "copied"
    to: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCopied(OfCheckpoint):
    """A checkpoint was to be copied to another store, and was not; ``reason`` is one line."""

    kind: ClassVar[str] = "not_copied"
    to: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """One checkpoint that was moved to the trash; ``reasons`` say why, ``digest`` is that of its manifest, if known."""

    run: str
    step: int | None
    ref: str
    name: str
    size: int | None
    digest: str | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned(Event):
    """Checkpoints were moved to the trash, by a plan of retention or to let a run go back behind them.

    Attributes:
        removed: these.
        purged: how many old leftovers were deleted for good.
        failures: one line for each that could not be removed.
        plan: digest of the plan; None without one.
    """

    kind: ClassVar[str] = "pruned"
    removed: tuple[Removed, ...]
    purged: int
    failures: tuple[str, ...]
    plan: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Undeleted(OfCheckpoint):
    """A checkpoint was taken back out of the trash."""

    kind: ClassVar[str] = "undeleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned(OfCheckpoint):
    """A checkpoint was pinned, or (``pinned`` is False) is not any more."""

    kind: ClassVar[str] = "pinned"
    pinned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged(OfCheckpoint):
    """A checkpoint was given a tag, or (``tagged`` is False) lost it."""

    kind: ClassVar[str] = "tagged"
    tag: str
    tagged: bool
