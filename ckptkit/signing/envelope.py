"""Signed envelopes: DSSE, the form that in-toto and the OpenSSF use. What is signed says of which type it is."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit.signing.keys import PublicKey, SigningKey


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload, and one signature over it and its type.

    Attributes:
        type: of the payload; a signature over one type is none over another.
        payload: what is signed, to the byte.
        key: fingerprint of the key.
        signature: by the key.
    """

    type: str
    payload: bytes
    key: str
    signature: bytes

    @classmethod
    def signed(cls, type_: str, payload: bytes, key: SigningKey) -> "Envelope":
        """Return the envelope of a payload."""
        return cls(type_, payload, key.public.id, key.sign(authenticated(type_, payload)))

    def is_by(self, key: PublicKey) -> bool:
        """Return whether the key has signed it, and its name on it is the key's."""
        return self.key == key.id and key.verifies(self.signature, authenticated(self.type, self.payload))

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values, in DSSE's words."""
        return {
            "payloadType": self.type,
            "payload": _text(self.payload),
            "signatures": [{"keyid": self.key, "sig": _text(self.signature)}],
        }

    @classmethod
    def of(cls, value: Any) -> "Envelope":
        """Return the envelope in JSON values; raises DamagedError where it is not just what ``plain`` returns."""
        try:
            (one,) = value["signatures"]
            made = cls(value["payloadType"], decoded(value["payload"]), one["keyid"], decoded(one["sig"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedError("holds what is no signed envelope") from error
        if not (isinstance(made.type, str) and isinstance(made.key, str)) or made.plain() != value:
            raise DamagedError("holds an envelope with more in it than a payload and one signature")
        return made


def authenticated(type_: str, payload: bytes) -> bytes:
    """Return the bytes that a signature is over: DSSE's pre-authentication encoding."""
    kind = type_.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def decoded(text: Any) -> bytes:
    """Return the bytes of base64; raises ValueError where the text is not the one form that they have."""
    if not isinstance(text, str):
        raise ValueError("is no text")
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("is no base64") from error
    if _text(data) != text:  # unused bits of the last letter
        raise ValueError("is no base64 as it is written")
    return data


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
