"""Sign checkpoints, and exchange signatures with the OpenSSF's model-signing."""

import hashlib
import io
from pathlib import Path
from typing import Any

from ckptkit.catalog import manifests, signatures
from ckptkit.catalog.ledger import Ledger
from ckptkit.digest import algorithm_of, digest_stream
from ckptkit.errors import DamagedError, PartlyDoneError, RefusedError
from ckptkit.manifest.models import FileEntry
from ckptkit.manifest.names import NOTES
from ckptkit.signing import claims, key_files, oms
from ckptkit.signing.envelope import Envelope
from ckptkit.signing.keyring import Keyring
from ckptkit.signing.keys import SigningKey
from ckptkit.signing.statement import TYPE, Statement
from ckptkit.storage import Entry
from ckptkit.store.committed import Committed
from ckptkit.verification import Verifier


def key_of(given: SigningKey | Path | str) -> SigningKey:
    """Return a key, read from its file where that was given; raises as ``key_files.load_private``."""
    return given if isinstance(given, SigningKey) else key_files.load_private(Path(given))


def require_good(at: Entry, ledger: Ledger) -> None:
    """Raise DamagedError for a checkpoint that does not verify: nobody signs that; what is known is not read again."""
    report = Verifier(ledger=ledger, trust_unchanged=True).verify(at)
    if not (report.good or report.not_judged):
        raise DamagedError(f"{at.ref}: does not verify, and is not signed: {report.reason}")


def sign(at: Entry, key: SigningKey) -> None:
    """Sign a checkpoint as its manifest says it is now; raises DamagedError, LockedError, StoreError."""
    subject = signatures.signable(at)
    if (wrong := subject.moved) is not None:
        raise RefusedError(f"{at.ref}: is not signed: its manifest {wrong}", hint="open the store that it was saved in")
    statement = Statement.about(subject.run, subject.step, subject.digest, subject.data)
    signatures.add(at, Envelope.signed(TYPE, statement.payload, key), subject)


def sign_saved(committed: Committed, key: SigningKey) -> PartlyDoneError | None:
    """Sign what was just committed, and return what is to be raised if that fails: it is saved in any case."""
    at = committed.at
    try:
        sign(at, key)
    except Exception as error:
        done = PartlyDoneError(
            f"{at.ref}: was saved, but not signed: {error}", hint=f"`ckptkit sign {at.ref} --key FILE` signs it"
        )
        done.__cause__ = error
        return done
    return None


def bundle(at: Entry, key: SigningKey) -> bytes:
    """Return a file with which model-signing verifies the checkpoint's folder, or a copy of it; each byte is read.

    Raises:
        UsageError: the key is of a kind that model-signing does not know.
        DamagedError, StoreError: a file is not what the manifest says, or cannot be read.
    """
    oms.require_known(key.public)
    manifest = manifests.require(at)
    subject = signatures.signable(at, manifest)
    digests = {file.path: _sha256(at, file) for item in manifest.items.values() for file in item.files}
    digests[subject.file] = hashlib.sha256(subject.data).hexdigest()
    ignored = [at.layout.own(at.name, name) for name in NOTES]
    return oms.bundle(oms.signed(at.name, digests, ignored, key), key.public)


class _Hashing(io.RawIOBase):
    """Takes the SHA-256 of what is written to it."""

    def __init__(self) -> None:
        self.hasher = hashlib.sha256()

    def write(self, block: Any) -> int:
        self.hasher.update(block)
        return len(block)


def _sha256(at: Entry, file: FileEntry) -> str:
    """Return the SHA-256 of a file that is as the manifest says, read once: model-signing's command takes no other."""
    algorithm = algorithm_of(file.digest)
    also = _Hashing()
    try:
        with at.storage.open(at, file.path) as stream:
            found = digest_stream(stream, file.size, algorithm, copy=also)  # type: ignore[arg-type]
    except FileNotFoundError as error:
        raise DamagedError(f"{at.ref}: {file.path}: is missing") from error
    if found != (file.size, file.digest):
        raise DamagedError(f"{at.ref}: {file.path}: is not what was saved")
    return also.hasher.hexdigest()


def take_over(at: Entry, data: bytes, ring: Keyring, where: str = "the bundle") -> str:
    """Keep beside a checkpoint what model-signing has signed of its folder; returns whose key it was.

    Args:
        at: the checkpoint.
        data: the bundle.
        ring: keys, by one of which it must be signed.
        where: what errors call the bundle.

    Raises:
        UsageError: it is no bundle.
        DamagedError: it is by none of these keys, or about something else.
        RefusedError: its key is revoked.
    """
    keys = [known[0].key for known in ring.trusted.values()]
    envelope = oms.unbundled(data, keys, where)
    if (said := ring.revoked.get(envelope.key)) is not None:
        raise RefusedError(f"{where}: is signed by a key that was revoked: {ring.name(envelope.key)} ({said})")
    subject = signatures.signable(at)
    if (wrong := claims.objection(envelope, subject)) is not None:
        raise DamagedError(f"{at.ref}: the signature {wrong}", hint="was it made of this checkpoint, as it is now?")
    signatures.add(at, envelope, subject)
    return ring.name(envelope.key)
