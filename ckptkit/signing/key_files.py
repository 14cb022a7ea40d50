"""Files with keys: made by ``ckptkit keygen``, ``ssh-keygen`` or OpenSSL; a private one is read by its owner only."""

import os
import shlex
import stat
from pathlib import Path
from typing import Any, Literal

from ckptkit import durable
from ckptkit.errors import ConflictError, NotFoundError, RefusedError, StoreError, UsageError
from ckptkit.formats.given_file import require_file
from ckptkit.signing.keys import PublicKey, SigningKey
from ckptkit.signing.library import cryptography

PASSPHRASE = "CKPTKIT_KEY_PASSPHRASE"
"""Name of the environment variable with the passphrase: never an option, which everybody on the machine can read."""
MAX_BYTES = 1 << 20
_SSH = b"-----BEGIN OPENSSH PRIVATE KEY-----"


def read(path: Path) -> bytes:
    """Return the bytes of a file with keys; raises NotFoundError, UsageError, StoreError."""
    require_file(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: does not exist", hint="`ckptkit keygen FILE` makes a key") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})", hint="check who may read the key") from error
    if len(data) > MAX_BYTES:
        raise UsageError(f"{path}: is no key: it has more than {MAX_BYTES} bytes", hint="name the file with the key")
    return data


def load_private(path: Path, passphrase: str | None = None) -> SigningKey:
    """Return the private key in a file, in PEM or as OpenSSH writes it.

    Args:
        path: the file.
        passphrase: of an encrypted key; that of the environment (``CKPTKIT_KEY_PASSPHRASE``) when left out.

    Raises:
        NotFoundError: there is no such file.
        RefusedError: others may read it.
        UsageError: it is no private key, of a kind that signs nothing here, or the passphrase is missing or wrong.
        BackendUnavailableError: cryptography is not installed.
    """
    data = read(path)
    if b"PRIVATE KEY-----" not in data:
        hint = "a public key verifies; give the private one" if b"PUBLIC KEY" in data or b"ssh-" in data else None
        raise UsageError(f"{path}: is no private key", hint=hint or "`ckptkit keygen FILE` makes one")
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise RefusedError(f"{path}: is a private key that others may read", hint=f"chmod 600 {path}")
    key = _decrypted(path, data, os.environ.get(PASSPHRASE) if passphrase is None else passphrase)
    return SigningKey.of(key, str(path), path.stem)


def _decrypted(path: Path, data: bytes, passphrase: str | None) -> Any:
    serialization = cryptography("hazmat.primitives.serialization")
    load = serialization.load_ssh_private_key if _SSH in data else serialization.load_pem_private_key
    locked = False
    for password in (None, passphrase.encode() if passphrase else None):
        try:
            return load(data, password)
        except TypeError:  # it is encrypted, and none was given
            locked = True
        except cryptography("exceptions").UnsupportedAlgorithm as error:
            raise UsageError(
                f"{path}: cannot be read here ({error})", hint="`ckptkit keygen FILE` makes one"
            ) from error
        except ValueError as error:
            if locked:
                hint = f"correct what {PASSPHRASE} says"
                raise UsageError(f"{path}: the passphrase does not open this key", hint=hint) from error
            raise UsageError(
                f"{path}: is damaged, or no private key", hint="`ckptkit keygen FILE` makes one"
            ) from error
    raise UsageError(f"{path}: the key is encrypted, and no passphrase is given", hint=f"put it into {PASSPHRASE}")


def public_keys(data: bytes, where: str) -> list[PublicKey]:
    """Return the keys in PEM blocks; raises UsageError for one that cannot be read."""
    serialization = cryptography("hazmat.primitives.serialization")
    end, keys = b"-----END PUBLIC KEY-----", []
    for block in data.split(end)[:-1]:
        try:
            key = serialization.load_pem_public_key(block[block.index(b"-----BEGIN") :] + end + b"\n")
        except (ValueError, cryptography("exceptions").UnsupportedAlgorithm) as error:
            raise UsageError(f"{where}: holds a public key that is damaged or unknown", hint="copy it again") from error
        keys.append(PublicKey.of(key, where))
    return keys


def public_key_of_line(line: str, where: str) -> PublicKey:
    """Return the key in ``ssh-ed25519 AAAA...``; raises UsageError."""
    serialization = cryptography("hazmat.primitives.serialization")
    try:
        key = serialization.load_ssh_public_key(line.encode())
    except (ValueError, cryptography("exceptions").UnsupportedAlgorithm) as error:
        raise UsageError(f"{where}: holds a public key that is damaged or unknown", hint="copy it again") from error
    return PublicKey.of(key, where)


def generate(path: Path, kind: Literal["ed25519", "p256"] = "ed25519", passphrase: str | None = None) -> SigningKey:
    """Make a key: ``path`` is the private half (PEM, mode 0600), ``path.pub`` the public one. Nothing is written over.

    The public half of an Ed25519 key is a line as OpenSSH has it; that of P-256 is PEM, which model-signing reads.

    Args:
        path: where to write it.
        kind: of key: model-signing verifies P-256, and not Ed25519.
        passphrase: encrypts the private half; None: it is not encrypted.

    Raises:
        UsageError: the name is none that a line of text can hold, or that of a public key.
        ConflictError: one of the two files is there.
        StoreError: they cannot be written.
    """
    if not path.name or not path.name.isprintable():  # it stands in the public half
        raise UsageError(f"{str(path)[:80]!r}: is no name for a key", hint="for example `ckptkit keygen ada.key`")
    if path.suffix == ".pub":
        hint = "name the private key; the public one gets .pub"
        raise UsageError(f"{path}: is what a public key is called", hint=hint)
    _require_folder(path.parent)
    serialization = cryptography("hazmat.primitives.serialization")
    if kind == "ed25519":
        made = cryptography("hazmat.primitives.asymmetric.ed25519").Ed25519PrivateKey.generate()
    else:
        curves = cryptography("hazmat.primitives.asymmetric.ec")
        made = curves.generate_private_key(curves.SECP256R1())
    hidden = (
        serialization.NoEncryption()
        if passphrase is None
        else serialization.BestAvailableEncryption(passphrase.encode())
    )
    data = made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
    key = SigningKey.of(made, str(path), path.stem)
    beside = path.with_name(f"{path.name}.pub")
    for one in (path, beside):
        if os.path.lexists(one):
            raise ConflictError(f"{one}: exists already", hint="a key is never written over: give another name")
    public = key.public.pem if kind == "p256" else f"{key.public.line} {path.stem}\n".encode()
    with durable.storage_errors(f"{path}: cannot be written", hint="name a folder where you may write"):
        _write_new(beside, public, 0o644)
        try:
            _write_new(path, data, 0o600)
        except BaseException:  # without the private half the public one is of no use
            beside.unlink()
            raise
    return key


def _require_folder(folder: Path) -> None:
    """Raise StoreError where there is no such folder, for a file that goes into it."""
    if not os.path.isdir(folder):
        if os.path.lexists(folder):
            raise StoreError(f"{folder}: is no folder", hint="name another one")
        raise StoreError(f"{folder}: there is no such folder", hint=f"mkdir -p {shlex.quote(str(folder))}")


def _write_new(path: Path, data: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
