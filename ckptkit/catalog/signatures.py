"""``signatures.json``: what was signed of a checkpoint, beside its manifest; whether it is true only a key can tell.

The file has one form, to the byte: another one was not written by ckptkit, and none of it counts.
"""

import shlex
from collections.abc import Sequence

from ckptkit.catalog import manifest_files
from ckptkit.errors import CkptkitError, DamagedError, NewerFormatError
from ckptkit.formats import strict_json
from ckptkit.manifest import reading
from ckptkit.manifest.models import Manifest
from ckptkit.signing.claims import Signable, objection
from ckptkit.signing.envelope import Envelope
from ckptkit.storage import Entry

VERSION = "1.0"
_MAX_BYTES = 128 << 20


def read(at: Entry) -> Sequence[Envelope]:
    """Return what lies beside a manifest; nothing where there is none.

    Raises:
        NewerFormatError: written by a newer ckptkit.
        DamagedError: it is not what ckptkit wrote.
        StoreError: it cannot be read.
    """
    try:
        data = at.storage.read(at, at.signatures_file, _MAX_BYTES)
    except FileNotFoundError:
        return ()
    try:
        value = strict_json.loads(data, max_bytes=_MAX_BYTES)
        if isinstance(value, dict) and value.get("schema_version") not in (VERSION, None):
            raise NewerFormatError(f"{at.signatures_file}: was written by a newer ckptkit")
        listed = value.get("signatures") if isinstance(value, dict) else None
        if not isinstance(listed, list):
            raise DamagedError("holds no list of signatures")
        found = [Envelope.of(one) for one in listed]
        if _written(found) != data:
            raise DamagedError("is not what ckptkit wrote")
    except NewerFormatError:
        raise
    except CkptkitError as error:
        what = "is no file of signatures: " if isinstance(error, strict_json.StrictJsonError) else ""
        place = at.storage.where(at, at.signatures_file)
        hint = f"remove {place}, and sign it again: `ckptkit sign {shlex.quote(at.ref)} --key FILE`"
        raise DamagedError(f"{at.signatures_file}: {what}{error.message}", hint=hint) from error
    return found


def claimed(at: Entry) -> Sequence[str]:
    """Return the fingerprints of the keys that it says to be signed by, unchecked; none where that cannot be read."""
    try:
        return list(dict.fromkeys(one.key for one in read(at)))
    except (CkptkitError, OSError):
        return ()


def signable(at: Entry, manifest: Manifest | None = None) -> Signable:
    """Return a checkpoint as it is signed.

    Args:
        at: where it is.
        manifest: what is known to be its manifest: another one is not what is meant.

    Raises:
        DamagedError: its manifest cannot be read, or is another one now.
        StoreError: likewise.
    """
    data = manifest_files.read_bytes(at)
    found = reading.parse(data)
    if manifest is not None and found.digest != manifest.digest:
        raise DamagedError(f"{at.ref}: was replaced meanwhile", hint="try again")
    file = at.manifest_file
    place = at.storage.url if at.run == "." else f"{at.storage.url}/{at.run}"
    return Signable(found.run, found.step, found.digest, data, file, place, at.step)


def add(at: Entry, new: Envelope, subject: Signable) -> None:
    """Add a signature, in place of one of the same kind by the same key; what is about another checkpoint goes.

    Raises:
        DamagedError: what is there is not what ckptkit wrote.
        LockedError, StoreError: it cannot be written.
    """
    with at.storage.locked(at.run, "refs"):
        others = [one for one in read(at) if (one.key, one.type) != (new.key, new.type)]
        kept = [one for one in others if objection(one, subject) is None]
        at.storage.put(at, at.signatures_file, _written([*kept, new]), replace=True)


def _written(envelopes: Sequence[Envelope]) -> bytes:
    value = {"schema_version": VERSION, "signatures": [one.plain() for one in envelopes]}
    return strict_json.dumps(value, indent=1) + b"\n"
