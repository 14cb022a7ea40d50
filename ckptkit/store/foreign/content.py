"""The content of a checkpoint that a trainer wrote: what its item is called, and whether it is a copy of another."""

import filecmp
from pathlib import Path

from ckptkit import registry
from ckptkit.catalog import manifests, since_adopted
from ckptkit.digest import algorithm_of, digest_file
from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.layouts.tf_train import DATA_FILE
from ckptkit.storage import Entry
from ckptkit.store.adopting import ITEMS
from ckptkit.store.around import is_apart
from ckptkit.store.foreign import watched
from ckptkit.trainers.finding import Sighting
from ckptkit.verification import Verifier


def item_of(sighting: Sighting) -> str:
    """Return what the item of no known trainer is called: by its backend."""
    backend = registry.for_path(sighting.path, name=sighting.seen.found.name)[0].name
    return ITEMS.get(backend, backend).partition(":")[0]


def main(sighting: Sighting) -> str:
    """Return what a program is pointed to: the folder or main file, or the prefix of a TensorFlow checkpoint."""
    found = sighting.seen.found
    prefixes = {match[1] for name in found.files if (match := DATA_FILE.fullmatch(name))}
    return prefixes.pop() if len(prefixes) == 1 else found.name


def require_not_damaged(sighting: Sighting, at: Entry) -> None:
    """Raise DamagedError where some files of an adopted checkpoint changed since, and others did not.

    A trainer that writes a checkpoint again writes all of it, and later. Otherwise a damaged file would get a new
    manifest: one whose bytes changed, and not its time.
    """
    manifest = manifests.read(at)[0]
    if manifest is None:
        return
    now = watched.stamps(sighting)
    since = since_adopted.adopted_at(at)
    changed = [path for path, (_, mtime, _) in now.items() if mtime > since]
    listed = {file.path for item in manifest.items.values() for file in item.files}
    if listed != set(now) or len(changed) == len(now):
        return
    if changed:
        why = f"{escaped(changed[0])}: was changed after it was adopted, and the rest was not"
    elif (report := Verifier("digest").verify(at)).good or report.not_judged:
        return
    else:
        why = f"{escaped(report.reason)}, and its time is older than its manifest's: it was changed, not written again"
    hint = f"`ckptkit verify` tells what is damaged; to take it as it is, remove {at.manifest_file} first"
    raise DamagedError(why, hint=hint)


def is_copy(sighting: Sighting, other: Path, twin: Entry) -> bool:
    """Return whether a checkpoint of one file is a byte copy of another, or the same file.

    Args:
        sighting: the one.
        other: the main file of the other.
        twin: the other, as it was adopted; on a service its manifest tells what is in it.
    """
    path = sighting.path
    if len(sighting.seen.found.files) != 1 or not path.is_file():
        return False
    try:
        if not is_apart(twin.storage):
            return other.is_file() and filecmp.cmp(path, other, shallow=False)
        manifest = manifests.read(twin)[0]
        files = [] if manifest is None else [file for item in manifest.items.values() for file in item.files]
        return len(files) == 1 and (files[0].size, files[0].digest) == digest_file(path, algorithm_of(files[0].digest))
    except OSError:
        return False
