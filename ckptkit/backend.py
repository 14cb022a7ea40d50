"""The backend contract: how one kind of training state is written, read, checked, adopted and proven.

A backend is a class without constructor arguments, named by an entry point of the group ``ckptkit.backends``. The
entry-point name (= ``Backend.name``) and ``format_version`` are what manifests store for ever. Only ``Backend`` is
required; each ``Supports*`` protocol is a power that a backend may add. Backends never import their framework at
module level, nor in ``can_save``, ``recognise``, ``describe`` and ``check``; they never unpickle in ``check``.

Some class attributes are optional: ``requires``, a tuple of the framework's modules (``ckptkit backends`` says which
are missing); ``explicit_only = True``, for a backend that is never detected by content, only named
(``NAME:BACKEND=PATH``); ``looks_for``, what its ``recognise`` looks for, in words (``a .zip of SB3's model.save``).
"""

import io
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from ckptkit.grades import GRADES, Captured, Grade, Verdict
from ckptkit.problem import Problem

__all__ = [
    "GRADES",
    "Backend",
    "Captured",
    "CheckContext",
    "Grade",
    "LoadContext",
    "Pending",
    "Problem",
    "Proof",
    "SaveContext",
    "SavedItem",
    "SnapshotContext",
    "SupportsComparison",
    "SupportsDigests",
    "SupportsEstimate",
    "SupportsIngest",
    "SupportsProbe",
    "SupportsSnapshot",
    "Verdict",
]


def _new_file(path: Path) -> io.BufferedIOBase:
    return path.open("xb")


def _new_memory(size: int) -> memoryview:
    return memoryview(bytearray(size))


def _in_turn(tasks: Sequence[Callable[[], object]]) -> None:
    for task in tasks:
        task()


@dataclass(frozen=True, slots=True)
class SaveContext:
    """What a backend may know while it saves.

    Attributes:
        step: step of the checkpoint.
        item: name of the item in the checkpoint.
        probe: whether to record a proof of resume (``SavedItem.probe``).
        factories: callables by role (``dataset``, ``env``, ``model``) that build a fresh copy of a definition.
        create: opens a new file of the item for writing, once and from its beginning to its end; it is digested
            meanwhile. If a store opened it, it has an attribute ``digest``: ``algorithm:hex`` of what was written.
            Files that come about in another way are read for their digests. It may keep nothing of an ambient item,
            where only the digest is wanted, and not yet the tensors that an earlier checkpoint has, too: ``save`` must
            not read, change or move what it wrote so.
    """

    step: int
    item: str = "item"
    probe: bool = True
    factories: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    create: Callable[[Path], io.BufferedIOBase] = _new_file


@dataclass(frozen=True, slots=True)
class SnapshotContext:
    """What a backend may know while it copies an item out of a run that goes on.

    Attributes:
        step: as of ``SaveContext``, like ``item``, ``probe`` and ``factories``.
        item: name of the item in the checkpoint.
        probe: whether ``Pending.write`` is to record a proof of resume.
        factories: callables by role that build a fresh copy of a definition.
        memory: returns writable memory of so many bytes for the copy of a tensor or array. Nobody else has it until
            ``Pending.write`` has returned; it was used before, and holds anything: new memory would take longer to get
            than to fill.
        together: does tasks, each of which copies something, by all cores, and returns when all are done; for libraries
            that would copy by one.
    """

    step: int
    item: str = "item"
    probe: bool = True
    factories: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    memory: Callable[[int], memoryview] = _new_memory
    together: Callable[[Sequence[Callable[[], object]]], None] = _in_turn


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What a backend may know while it checks or describes files, without their framework.

    Attributes:
        files: the item's files relative to its folder; in a sidecar checkpoint other items' files lie beside them.
        metadata: what the backend wrote into ``SavedItem.metadata``; empty while files are being adopted.
        format_version: version of the backend's format that the item was written in.
        step: step of the checkpoint.
        source: where the files being described were adopted from: its name may carry a step.
        trusted: those files that whoever saved them answers for, whatever loading them runs.
    """

    files: Sequence[str]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    format_version: int = 1
    step: int = 0
    source: Path | None = None
    trusted: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class LoadContext(CheckContext):
    """What a backend may know while it loads or proves: as for checking, and how to build what the files only describe.

    Attributes:
        probe: the proof recorded at save, if any.
        factories: callables by role (``dataset``, ``env``, ``model``).
        notes: a load adds one line for each thing that it left as the target has it, or changed beyond putting values
            back; the store reports them (``Restored.warnings``).
    """

    probe: Mapping[str, Any] | None = None
    factories: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SavedItem:
    """What a backend says about the files that it wrote or was shown; JSON values only.

    Attributes:
        metadata: what ``check`` and ``load`` will need, and what people may want to see in ``show``.
        step: the step that the item believes it is at, in the checkpoint's own count; None if it cannot know.
        counters: other counts that the item keeps (``batches_seen``, ``episode``, ``num_timesteps``): items, and the
            checkpoint, that give the same counter must agree.
        captured: how much of its state is in the files.
        hazards: one line each: what may make a resume differ (an unseeded shuffle, a stateful op).
        probe: proof of resume for ``SupportsProbe.prove``.
        ambient: the item is state of the whole process (global random generators; the live object has an attribute
            ``ambient = True`` as well, so that the store knows beforehand): captured first and last at save,
            put back after every other item at restore.
        draws: what in the item draws from the random generators of the process while it trains (``model.drop draws in
            training``); empty if nothing is known to. If no ambient item is saved with it, the core names this as a
            missing piece of the item.
        boundary: ``{"kind", "requested_at", "saved_at"}`` if the item knows at which boundary of the training it was
            taken (``kind``: ``step``, ``rollout``, ``episode``, ``epoch``, ``accumulation``); it becomes the
            checkpoint's if the caller of the store gave none.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    step: int | None = None
    counters: Mapping[str, int] = field(default_factory=dict)
    captured: Captured = field(default_factory=Captured)
    hazards: Sequence[str] = ()
    probe: Mapping[str, Any] | None = None
    ambient: bool = False
    draws: str = ""
    boundary: Mapping[str, Any] | None = None


@runtime_checkable
class Backend(Protocol):
    """Reads and writes one kind of item. ``ckptkit.testing.BackendTests`` is its law, as tests."""

    name: ClassVar[str]
    """The entry-point name; stored in manifests for ever."""
    format_version: ClassVar[int]
    """Raised when files of this version can no longer be read by an older backend."""

    def can_save(self, item: object, /) -> bool:
        """Return whether this backend saves the live object; must not import a framework to find out."""
        ...

    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        """Write the item into the empty folder, in its framework's own format, and nothing outside it.

        Raises:
            BackendError: the item cannot be saved; the message says what and why.
        """
        ...

    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        """Read the item back.

        Args:
            directory: the item's folder.
            target: the object to put the state into, or None to build a new one.
            context: files, metadata, factories.

        Returns:
            The target (or the new object); or, if part of the state can only be put back by the training loop, what the
            loop needs for that (the backend's documentation says when to call it).

        Raises:
            DamagedError: the files do not hold what they should; the target is unchanged.
            BackendError: the state does not fit the target; the target is unchanged.
        """
        ...

    def check(self, directory: Path, *, context: CheckContext) -> Iterable[Problem]:
        """Yield what is wrong with the structure of the files, without the framework and without running anything."""
        ...


@runtime_checkable
class SupportsIngest(Protocol):
    """Adopt files that a trainer already wrote."""

    def recognise(self, path: Path, /) -> Mapping[str, Path] | None:
        """Return the files that belong to the item at the path (relative name -> source), or None if not this kind.

        Decides by content, reads little, imports no framework. ``path`` may be a file, a folder, or a prefix
        (``tf/ckpt-12``) that is not a file itself.
        """
        ...

    def describe(self, directory: Path, *, context: CheckContext) -> SavedItem:
        """Return what the files say about themselves (step, counters, what is captured), without the framework."""
        ...


@dataclass(frozen=True, slots=True)
class Proof:
    """Result of a replay: did the loaded item do what the saved one was about to do, and if not, why?

    Attributes:
        verdict: ``same`` or ``differs``, as far as it was replayed; ``unproven``: nothing was.
        reason: why it is not ``same``, or what else to know.
        steps: how many steps were replayed.
        of: what they are steps of, in the plural: ``batches``, ``draws of each generator``.
    """

    verdict: Verdict
    reason: str | None = None
    steps: int = 0
    of: str = ""


@runtime_checkable
class SupportsProbe(Protocol):
    """Replay the proof that ``save`` recorded. Runs in a fresh, resource-limited process."""

    def prove(self, directory: Path, *, context: LoadContext) -> Proof:
        """Load the item and replay ``context.probe``; ``unproven`` with the reason when something is missing."""
        ...


@runtime_checkable
class SupportsDigests(Protocol):
    """Digest every part of a live item, for read-back after a restore and for observing a run as it continues.

    ``save`` puts the same digests into ``SavedItem.probe["digests"]`` when a probe is asked for: right after a restore
    the store takes them again and compares part by part.
    """

    def digests(self, item: Any, /) -> Mapping[str, str]:
        """Return each part's digest by name (``model``, ``optimizer``, ...); draws and changes nothing."""
        ...


@runtime_checkable
class SupportsComparison(Protocol):
    """Compare a live item with its files value by value, where digests alone cannot tell that they are equal.

    For backends whose digests are of bytes that equal state may have in more than one form, or were others once.
    """

    def differing(
        self, item: Any, directory: Path, parts: Collection[str], /, *, context: LoadContext
    ) -> Collection[str]:
        """Return which of these parts, whose digests differ, are really not what the files hold; changes nothing."""
        ...


@runtime_checkable
class SupportsEstimate(Protocol):
    """Estimate how many bytes a live item will take, for the disk preflight."""

    def estimate_bytes(self, item: Any, /) -> int:
        """Return roughly how many bytes saving the item will write, without copying anything."""
        ...


class Pending(Protocol):
    """The state of an item, copied out of it and still to be written."""

    def write(self, directory: Path, *, context: SaveContext) -> SavedItem:
        """Do the rest of ``Backend.save``: the same files and words, on any thread, while the item itself changes."""
        ...


@runtime_checkable
class SupportsSnapshot(Protocol):
    """Copy an item's state out, so that it can be written while the run goes on (``store.save(..., wait=False)``)."""

    def snapshot(self, item: Any, /, *, context: SnapshotContext) -> Pending:
        """Copy everything that may change; the run waits for it. Draws and changes nothing; raises as ``save`` does."""
        ...
