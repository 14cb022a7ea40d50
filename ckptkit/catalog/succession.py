"""What a run saved last, so that the next save need not read what it saved before.

Each commit leaves a note of itself in the run's ``.ckptkit``. The note is disposable: it is believed only while the
checkpoint it speaks of is the very one that it was written for. Without it all manifests are read, once.
"""

import contextlib
from dataclasses import asdict, dataclass, replace
from typing import Any

from ckptkit.catalog import manifest_files, manifests
from ckptkit.digest import DEFAULT_ALGORITHM, digest_bytes
from ckptkit.errors import CkptkitError, ManifestError
from ckptkit.formats import strict_json
from ckptkit.layouts import named
from ckptkit.manifest.models import Manifest
from ckptkit.manifest.names import LAST_SAVE_NAME
from ckptkit.storage import Entry, Storage

_LIMIT = 1 << 16


@dataclass(frozen=True, slots=True)
class Last:
    """The last commit of a run.

    Attributes:
        step: its step; -1 where the run has none.
        sequence: commits of the run so far; readers order by step first, so two saves at once may share a number.
        size: bytes of its files, a guess at those of the next one.
        origin: ``(run, step)`` of the checkpoint of another run that the run began from.
        highest: the highest step of the run.
        stamp: of the run right after the commit (``Storage.run_stamp``); empty where it is not known.
    """

    step: int = -1
    sequence: int = 0
    size: int = 0
    origin: tuple[str, int] | None = None
    highest: int = -1
    stamp: str = ""

    def is_beyond(self, storage: Storage, run: str, step: int) -> bool:
        """Return whether a step lies beyond all that the run has, without a look at any of it.

        It is what nearly every save asks, and looking through thousands of names would cost it more than all the rest.
        A save of another process in the same tick is not seen; at the commit one of the two will lose.
        """
        return step > self.highest and self.stamp != "" and self.stamp == storage.run_stamp(run)


def last(storage: Storage, run: str) -> Last:
    """Return what the run saved last."""
    noted = _noted(storage, run)
    if noted is not None:
        return noted
    return _searched(storage, run) if storage.has_run(run) else Last()


def origin(storage: Storage, run: str, step: int, before: Last) -> tuple[str, int] | None:
    """Return the checkpoint of another run that the run began from, as its newest checkpoint before a step tells.

    It is carried from checkpoint to checkpoint: the parent tells no more of it once the run was resumed within itself,
    and the checkpoint that named it first may be pruned.
    """
    if before.step < step:
        return before.origin
    for at in reversed(list(storage.scan(run))) if storage.has_run(run) else ():
        manifest = manifests.read(at)[0] if at.step is not None and at.step < step else None
        if manifest is not None:
            return _began_from(manifest)
    return None


def note(at: Entry, manifest: Manifest, before: Last) -> None:
    """Leave a note of a commit; a store where that fails is only slower.

    Args:
        at: what was committed.
        manifest: its manifest.
        before: what the run saved last before that.
    """
    highest, stamp = max(before.highest, manifest.step), at.storage.run_stamp(at.run)
    one = Last(manifest.step, manifest.sequence, manifest.size, _began_from(manifest), highest, stamp)
    content: dict[str, Any] = {
        "name": at.name,
        "layout": at.layout.kind,
        "identity": _identity(at),
        **asdict(one),
        "origin": list(one.origin) if one.origin else None,
    }
    content["digest"] = digest_bytes(strict_json.dumps(content), DEFAULT_ALGORITHM)
    with contextlib.suppress(CkptkitError):
        at.storage.replace_state(at.run, LAST_SAVE_NAME, strict_json.dumps(content) + b"\n", lasting=False)


def _noted(storage: Storage, run: str) -> Last | None:
    try:
        data = storage.read_state(run, LAST_SAVE_NAME, _LIMIT)
        if data is None:
            return None
        value = strict_json.loads(data)
        content = {k: v for k, v in value.items() if k != "digest"}
        if digest_bytes(strict_json.dumps(content), DEFAULT_ALGORITHM) != value["digest"]:
            return None
        at = Entry(run, value["name"], named(value["layout"]), storage)
        if value["identity"] != _identity(at):
            return None
        began = value["origin"]
        origin = None if began is None else (began[0], began[1])
        return Last(value["step"], value["sequence"], value["size"], origin, value["highest"], value["stamp"])
    except (CkptkitError, KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None


def _searched(storage: Storage, run: str) -> Last:
    """Read all manifests: the highest sequence counts, the newest step tells the rest."""
    found, newest = Last(), None
    for at in storage.scan(run):
        with contextlib.suppress(ManifestError):
            found = replace(found, sequence=max(found.sequence, manifest_files.summary(at).sequence))
            newest = at
        found = replace(found, highest=max(found.highest, -1 if at.step is None else at.step))
    manifest = manifests.read(newest)[0] if newest is not None else None
    if manifest is None:
        return found
    return replace(found, step=manifest.step, size=manifest.size, origin=_began_from(manifest))


def _began_from(manifest: Manifest) -> tuple[str, int] | None:
    began = manifest.began_from
    return None if began is None else (began.run, began.step)


def _identity(at: Entry) -> str:
    return repr(at.identity)
