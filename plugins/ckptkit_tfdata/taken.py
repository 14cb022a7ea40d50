"""An iterator at one moment, taken while its training waits: what is written of it, and proven, comes later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ckptkit.backend import Captured, SaveContext, SavedItem
from ckptkit_tfdata import hazards as dangers
from ckptkit_tfdata.held import Held
from ckptkit_tfdata.iterator import PersistentIterator
from ckptkit_tfdata.lazy_import import tensorflow
from ckptkit_tfdata.probe import UnprovableError, predict, twin_of
from ckptkit_tfdata.state_file import StateFile

PREFIX = "iterator"


@dataclass(frozen=True, slots=True)
class Taken:
    """An iterator at one moment, still to be written.

    Attributes:
        held: its position.
        state_file: what is said of it, but for hazards.
        hazards: those that are known.
        twin: tells what it gives next.
        probe: what is to be said with that.
    """

    held: Held
    state_file: StateFile
    hazards: Sequence[dangers.Hazard]
    twin: PersistentIterator | None
    probe: Mapping[str, Any]

    def write(self, directory: Path, *, context: SaveContext) -> SavedItem:
        """See ``Pending.write``."""
        found, probe = list(self.hazards), None
        if self.twin is not None:
            try:
                probe = {**predict(self.twin, self.held, self.state_file.fingerprint), **self.probe}
            except UnprovableError as error:
                found.append(_no_probe(error))
        texts = [hazard.text for hazard in found]
        state_file = replace(self.state_file, hazards=texts, captured=dangers.worst(found))
        self.held.write(directory / PREFIX)
        state_file.write(directory, context.create)
        return item_of(state_file, probe)


def take(iterator: PersistentIterator, *, proving: bool) -> Taken:
    """Take it; with a proof, a second dataset is built, but asked later.

    Raises:
        BackendError: see ``TfDataBackend.save``.
    """
    definition = iterator.definition
    dangers.refuse_external_state(definition)
    records = iterator.record_files()
    found = dangers.hazards_of(definition, reads_known_files=bool(records))
    held, twin = iterator.held(), None
    if proving:
        try:
            twin = _twin(iterator)
        except UnprovableError as error:
            found.append(_no_probe(error))
    state_file = StateFile(
        tensorflow=tensorflow().__version__,
        batches_seen=held.batches_seen,
        element_spec=definition.element_spec,
        fingerprint=definition.fingerprint,
        ops=definition.ops,
        record_files=records,
        hazards=[],
        captured=Captured(),
        settings=iterator.settings,
    )
    return Taken(held, state_file, found, twin, {"digests": digests_of(iterator)})


def _twin(iterator: PersistentIterator) -> PersistentIterator:
    definition = iterator.definition
    if any(dangers.writes_files(op) for op in definition.ops):
        raise UnprovableError("a second dataset would write to the same cache files")
    if dangers.order_is_free(definition):
        raise UnprovableError("thread timing decides the order of elements")
    return twin_of(iterator)


def _no_probe(error: UnprovableError) -> dangers.Hazard:
    return dangers.Hazard(f"no probe: {error}")


def digests_of(iterator: PersistentIterator) -> dict[str, str]:
    """Return digests of position and definition."""
    return {"batches_seen": str(iterator.batches_seen), "definition": iterator.definition.fingerprint}


def item_of(state_file: StateFile, probe: dict[str, Any] | None) -> SavedItem:
    """Return what the backend says of it."""
    metadata = {
        "tensorflow": state_file.tensorflow,
        "fingerprint": state_file.fingerprint,
        "element_spec": state_file.element_spec,
        "batches_seen": state_file.batches_seen,
        "record_files": len(state_file.record_files),
        "record_bytes": sum(record.size for record in state_file.record_files),
    }
    counters = {"batches_seen": state_file.batches_seen}
    return SavedItem(
        metadata, counters=counters, captured=state_file.captured, hazards=list(state_file.hazards), probe=probe
    )
