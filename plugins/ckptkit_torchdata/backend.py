"""The ``torch-data`` backend: the position of a torch DataLoader written, checked, put back and proven."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from ckptkit.backend import (
    CheckContext,
    LoadContext,
    Problem,
    Proof,
    SaveContext,
    SavedItem,
    SnapshotContext,
)
from ckptkit.errors import BackendError, CkptkitError, DamagedError, NewerFormatError, UnsafeContentError
from ckptkit.formats.kinds import look_into_file
from ckptkit_torchdata import definition, probe, second_pass, state_file
from ckptkit_torchdata import states as part_states
from ckptkit_torchdata.lazy_import import torch
from ckptkit_torchdata.loader import ResumableLoader
from ckptkit_torchdata.loader_kinds import is_data_loader, is_stateful
from ckptkit_torchdata.place import Place
from ckptkit_torchdata.state_file import FILE_NAME, FORMAT_VERSION, STATE_NAME, StateFile


@dataclass(frozen=True, slots=True)
class _Captured:
    """The place of a loader at one moment, with its proof; nothing of it is the loader's own."""

    state_file: StateFile
    states: part_states.States
    proof: Mapping[str, Any] | None

    def write(self, directory: Path, *, context: SaveContext) -> SavedItem:
        """See ``Pending.write``."""
        self.state_file.write(directory, context.create)
        if self.states:
            part_states.write(directory, self.states, context.create)
        return _saved(self.state_file, self.proof)


class TorchDataBackend:
    """Saves a ``ResumableLoader`` as ``loader.json`` and, where parts have a ``state_dict``, ``state.pth``."""

    name: ClassVar[str] = "torch-data"
    format_version: ClassVar[int] = FORMAT_VERSION

    def can_save(self, item: object, /) -> bool:
        """Return whether the object is a ``ResumableLoader``."""
        return isinstance(item, ResumableLoader)

    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        """Write the place.

        Raises:
            BackendError: not a ``ResumableLoader``; a ``state_dict`` holds more than plain values and tensors.
        """
        return _captured(_own(item), proving=context.probe).write(directory, context=context)

    def snapshot(self, item: Any, /, *, context: SnapshotContext) -> _Captured:
        """Take the place and the states of the parts: they are small. With a probe, the next batches are looked at.

        Raises:
            BackendError: not a ``ResumableLoader``.
        """
        return _captured(_own(item), proving=context.probe)

    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> ResumableLoader:
        """Note the place in the target; the first ``next`` goes there and leaves the global generators as they are.

        Args:
            directory: the item's folder.
            target: the ``ResumableLoader`` to continue, or None to build one from ``context.factories["loader"]``,
                which returns a ``ResumableLoader`` or a DataLoader.
            context: files and factories.

        Returns:
            The target, or the new loader. Nothing more is to be called: iterate it.

        Raises:
            DamagedError: the files are damaged or disagree with each other.
            BackendError: the loader is not the one that was saved (the message names each field that changed). The
                target is unchanged.
        """
        if context.format_version > FORMAT_VERSION:
            raise NewerFormatError(f"torch-data: format version {context.format_version} is newer than ours")
        read = state_file.read(directory)
        for problem in self.check(directory, context=context):
            if problem.severity != "warning":
                text = f"{problem.file or directory.name}: {problem.message}"
                raise (UnsafeContentError if problem.severity == "unsafe" else DamagedError)(text)
        kept = part_states.read(directory) if read.states else {}
        if kept.keys() != set(read.states):
            raise DamagedError(f"{STATE_NAME}: does not hold the parts that {FILE_NAME} names")
        loader = _own(target) if target is not None else _built(context)
        definition.refuse_changed(read.fields, _fields(loader))
        told = read.captured.reasons if read.interleaved else ()
        loader.go_to(Place(read.position, kept, read.interleaved, told))
        return loader

    def check(self, directory: Path, *, context: CheckContext) -> Iterator[Problem]:
        """Yield what is wrong with the files, without torch."""
        if not (directory / FILE_NAME).is_file():
            yield Problem("loader-file-missing", "the file with the place in the data is missing", FILE_NAME)
            return
        try:
            read = state_file.read(directory)
        except NewerFormatError as error:
            yield Problem("loader-format-newer", str(error).removeprefix(f"{FILE_NAME}: "), FILE_NAME)
            return
        except DamagedError as error:
            yield Problem("loader-file-damaged", str(error).removeprefix(f"{FILE_NAME}: "), FILE_NAME)
            return
        counts = {"epoch": read.position.epoch, "batches": read.position.batches}
        for name, value in {**counts, "fingerprint": definition.fingerprint_of(read.fields)}.items():
            if name in context.metadata and context.metadata[name] != value:
                yield Problem("loader-file-disagrees", f"{name} is not what the manifest says", FILE_NAME)
        if not read.states:
            return
        if not (directory / STATE_NAME).is_file():
            yield Problem("loader-state-missing", f"the states of {', '.join(read.states)} are missing", STATE_NAME)
            return
        yield from look_into_file(directory / STATE_NAME, file=STATE_NAME, kind="torch")

    def prove(self, directory: Path, *, context: LoadContext) -> Proof:
        """Build a loader with the ``loader`` factory, go to the place, and compare its next batches."""
        if context.probe is None:
            return Proof("unproven", "no probe was recorded")
        if "loader" not in context.factories:
            return Proof("unproven", "no loader factory was given")
        try:
            difference = probe.replay(self.load(directory, target=None, context=context), context.probe)
        except probe.UnprovableError as error:
            return Proof("unproven", str(error))
        except CkptkitError as error:
            return Proof("differs", str(error))
        saved, now = context.probe.get("torch"), str(torch().__version__)
        if difference is not None and saved != now:
            return Proof("environment-differs", f"torch {saved} -> {now}: {difference}")
        if difference is not None:
            return Proof("differs", difference)
        return Proof("same", steps=len(context.probe["batches"]), of="batches")

    def digests(self, item: Any, /) -> Mapping[str, str]:
        """Return the digests of position, order, generators and definition, and of the batch that was given last."""
        own = _own(item)
        return probe.digests(own, own.place(), definition.fingerprint_of(_fields(own)))

    def estimate_bytes(self, item: Any, /) -> int:
        """Return about how many bytes a save will write."""
        place = _own(item).place()
        return 32768 + 8 * _bytes_of(place.states)


def _captured(item: ResumableLoader, *, proving: bool) -> _Captured:
    place, loader = item.place(), item.loader
    fields = _fields(item)
    item.between.look(begun=item.begun)
    missing = item.parts.reasons(place.position.start or place.position.now)
    present = definition.fields_of(loader, version=item.version)
    changed = [f"{change} since the loader was built" for change in definition.changes(item.built, present)]
    changed += item.between.reasons()
    missing = list(dict.fromkeys([*item.between.told, *missing, *changed]))
    unrepeated = second_pass.doubt(item, place, missing)
    place = replace(place, interleaved=unrepeated is not None or bool(changed))
    captured = definition.grade(loader, unrepeated=unrepeated, missing=missing, random_items=item.random_items)
    hazards = definition.hazards_of(loader)
    proof: dict[str, Any] | None = None
    if proving:
        try:
            proof = probe.predict(item, place)
        except probe.UnprovableError as error:
            proof = {"kind": "none", "why": str(error)}
    written = StateFile(
        torch=str(torch().__version__),
        mode="stateful" if is_stateful(loader) else item.skip,
        fields=fields,
        position=place.position,
        interleaved=place.interleaved,
        states=sorted(place.states),
        captured=captured,
        hazards=hazards,
    )
    digests = probe.digests(item, place, definition.fingerprint_of(fields))
    item.between.rest()
    # A loader that was just loaded has given no batch yet: only an observation can hold the last batch. Which
    # generators there are is not compared where the grade says that a new process has others.
    left_out = {probe.LAST_BATCH, *(["generators"] if item.between.exchanged() else [])}
    parts = {part: value for part, value in digests.items() if part not in left_out}
    return _Captured(written, place.states, {**(proof or {}), "digests": parts} if proving else None)


def _saved(written: StateFile, proof: Mapping[str, Any] | None) -> SavedItem:
    place = written.position
    metadata = {
        "epoch": place.epoch,
        "batches": place.batches,
        "batches_seen": place.batches_seen,
        "mode": written.mode,
        "fingerprint": definition.fingerprint_of(written.fields),
        "dataset": written.fields["dataset"],
        "torch": written.torch,
    }
    counters = {"batches_seen": place.batches_seen, "epoch": place.epoch}
    return SavedItem(metadata, counters=counters, captured=written.captured, hazards=written.hazards, probe=proof)


def _own(item: object) -> ResumableLoader:
    if isinstance(item, ResumableLoader):
        return item
    raise BackendError(
        f"torch-data: a {type(item).__name__} cannot be saved or resumed",
        hint="wrap the function that builds the DataLoader: ResumableLoader(make_loader), and iterate that",
    )


def _built(context: LoadContext) -> ResumableLoader:
    factory = context.factories.get("loader")
    if factory is None:
        raise BackendError(
            "torch-data: nothing to load into: the file holds the place, not the data",
            hint='pass a ResumableLoader as target, or a factory named "loader" that returns it or a DataLoader',
        )
    built = factory()
    return ResumableLoader(built) if is_data_loader(built) else _own(built)


def _fields(item: ResumableLoader) -> definition.Fields:
    return item.built


def _bytes_of(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(64 + _bytes_of(entry) for entry in value.values())
    if isinstance(value, (list, tuple)):
        return sum(16 + _bytes_of(entry) for entry in value)
    return int(getattr(value, "nbytes", 16))
