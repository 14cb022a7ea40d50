"""Keys that sign and keys that verify: Ed25519, and the curves that the OpenSSF's model-signing knows."""

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

from ckptkit.errors import UsageError
from ckptkit.signing.library import cryptography

Kind = Literal["ed25519", "p256", "p384", "p521"]
CURVES: dict[str, tuple[Kind, str]] = {
    "secp256r1": ("p256", "SHA256"),
    "secp384r1": ("p384", "SHA384"),
    "secp521r1": ("p521", "SHA512"),
}
"""By curve: the kind of a key, and the digest that is signed with it."""
_KNOWN = "an Ed25519 key, or one of P-256, P-384 or P-521"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies.

    The algorithm is the key's own: nothing that is verified can ask for another one.

    Attributes:
        kind: its kind.
        line: ``ssh-ed25519 AAAA...``, as OpenSSH writes it, without a comment.
    """

    kind: Kind
    line: str
    _key: Any = field(repr=False, compare=False)

    @classmethod
    def of(cls, key: Any, where: str) -> "PublicKey":
        """Return the key that cryptography has read; raises UsageError for one of another kind."""
        serialization = cryptography("hazmat.primitives.serialization")
        if isinstance(key, cryptography("hazmat.primitives.asymmetric.ed25519").Ed25519PublicKey):
            kind: Kind = "ed25519"
        elif (curve := getattr(getattr(key, "curve", None), "name", None)) in CURVES:
            kind = CURVES[curve][0]
        else:
            raise UsageError(f"{where}: is a key of a kind that signs nothing here", hint=f"give {_KNOWN}")
        line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
        return cls(kind, line, key)

    @property
    def id(self) -> str:
        """Its fingerprint, ``SHA256:...``, as ``ssh-keygen -l`` prints it."""
        digest = hashlib.sha256(base64.b64decode(self.line.split(" ")[1])).digest()
        return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"

    @property
    def pem(self) -> bytes:
        """The key in PEM, as OpenSSL writes it."""
        serialization = cryptography("hazmat.primitives.serialization")
        shape = serialization.PublicFormat.SubjectPublicKeyInfo
        return bytes(self._key.public_bytes(serialization.Encoding.PEM, shape))

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Return whether the signature is this key's, over exactly this data."""
        how = () if self.kind == "ed25519" else (_ecdsa(self._key.curve.name),)
        try:
            self._key.verify(signature, data, *how)
        except cryptography("exceptions").InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs.

    Attributes:
        public: the key that verifies what it signs.
        name: of whom it is, for people: what the file is called.
    """

    public: PublicKey
    name: str
    _key: Any = field(repr=False, compare=False)

    @classmethod
    def of(cls, key: Any, where: str, name: str) -> "SigningKey":
        """Return the key that cryptography has read or made; raises UsageError for one of another kind."""
        return cls(PublicKey.of(key.public_key(), where), name, key)

    def sign(self, data: bytes) -> bytes:
        """Return the signature of the data: 64 bytes of Ed25519, or ECDSA in DER."""
        how = () if self.public.kind == "ed25519" else (_ecdsa(self._key.curve.name),)
        return bytes(self._key.sign(data, *how))


def _ecdsa(curve: str) -> Any:
    digest = getattr(cryptography("hazmat.primitives.hashes"), CURVES[curve][1])()
    return cryptography("hazmat.primitives.asymmetric.ec").ECDSA(digest)
