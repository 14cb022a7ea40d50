"""What goes along when a checkpoint is copied: what it did next, what was shown of it, its pin and its tags.

Each is added to what is there; nothing is taken away, and nothing replaced by what is older.
"""

from collections.abc import Collection, Iterator

from ckptkit.catalog import refs, shown
from ckptkit.errors import CkptkitError, ConflictError
from ckptkit.manifest.models import Manifest
from ckptkit.storage import Entry, Storage
from ckptkit.verification import observation

_MAX_BYTES = 256 << 20


def notes(source: Entry, at: Entry, manifest: Manifest | None) -> list[str]:
    """Copy what is noted beside a manifest; return one line for each note that could not be.

    Args:
        source: the checkpoint.
        at: its copy.
        manifest: of both.
    """
    undone = (
        []
        if manifest is None
        else [
            *_observed(source, at, manifest),
            *_shown(source, at, manifest),
            *_signatures(source, at, manifest),
        ]
    )
    return [f"{at.ref}: {line}" for line in undone]


def _observed(source: Entry, at: Entry, manifest: Manifest) -> Iterator[str]:
    try:
        if observation.read(source, manifest) is not None and not _is_there(at):
            data = source.storage.read(source, source.observed_file, _MAX_BYTES)
            at.storage.put(at, at.observed_file, data, replace=False)
    except ConflictError:  # it came there meanwhile
        return
    except (CkptkitError, OSError) as error:
        yield f"what the run did next was not copied: {error}"


def _is_there(at: Entry) -> bool:
    try:
        at.storage.stat(at, at.observed_file)
    except FileNotFoundError:
        return False
    return True


def _shown(source: Entry, at: Entry, manifest: Manifest) -> Iterator[str]:
    found = shown.read(source, manifest.digest)
    there = {one.how: one.at for one in shown.read(at, manifest.digest)} if found else {}
    for one in found:
        if one.at > there.get(one.how, "") and not shown.note(at, manifest.digest, one):
            yield f"what was shown of it ({one.words}) was not copied"


def _signatures(source: Entry, at: Entry, manifest: Manifest) -> Iterator[str]:
    """Copy what is about this very checkpoint, unchecked: only a key can tell whether it is true."""
    try:
        source.storage.stat(source, source.signatures_file)
    except (OSError, CkptkitError):
        return
    from ckptkit.catalog import signatures
    from ckptkit.signing.claims import objection

    try:
        subject, there = signatures.signable(at, manifest), signatures.read(at)
        for one in signatures.read(source):
            if one not in there and objection(one, subject) is None:
                signatures.add(at, one, subject)
    except CkptkitError as error:
        yield f"its signatures were not copied: {error.message}"


def marks(source: Storage, storage: Storage, run: str, steps: Collection[int]) -> list[str]:
    """Add the pins and tags of a run's checkpoints; return one line if that could not be done.

    Args:
        source: the store that they are in.
        storage: the store that gets them.
        run: the run.
        steps: of the checkpoints that are in both.
    """
    try:
        said = refs.read(source, run)
        pins = said.pins & {*steps}
        tags = {step: names for step, names in said.tags.items() if step in steps and names}
        there = refs.read(storage, run) if pins or tags else refs.Refs()
        if pins <= there.pins and all(names <= there.tags.get(step, set()) for step, names in tags.items()):
            return []
        with refs.changed(storage, run) as changed:
            changed.pins |= pins
            for step, names in tags.items():
                changed.tags.setdefault(step, set()).update(names)
    except CkptkitError as error:
        return [f"{run}: pins and tags were not copied: {error.message}"]
    return []
