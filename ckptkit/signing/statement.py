"""What a signature of ckptkit says: this manifest, to the byte, is the one of this step of this run."""

import hashlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from ckptkit.errors import CkptkitError, DamagedError
from ckptkit.formats import strict_json

TYPE = "application/vnd.ckptkit.checkpoint+json"
VERSION = "1.0"
_FORM = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Statement:
    """What is signed.

    Attributes:
        run: name of the run, as the manifest says it.
        step: training step.
        manifest: digest of the manifest, as it says itself.
        sha256: of the bytes of the manifest's file.
        signed_at: when, UTC, ISO 8601: the signer's own word.
        schema_version: of this form.
    """

    run: str
    step: int
    manifest: str
    sha256: str
    signed_at: str
    schema_version: str = VERSION

    @classmethod
    def about(cls, run: str, step: int, digest: str, data: bytes) -> "Statement":
        """Return what is to be signed now of a manifest and the bytes of its file."""
        return cls(run, step, digest, hashlib.sha256(data).hexdigest(), datetime.now(UTC).strftime(_FORM))

    @property
    def payload(self) -> bytes:
        """The one form that it is signed in."""
        return strict_json.dumps(asdict(self))

    @property
    def moment(self) -> datetime:
        """When it was signed."""
        return datetime.strptime(self.signed_at, _FORM).replace(tzinfo=UTC)

    @classmethod
    def read(cls, payload: bytes) -> "Statement":
        """Return what was signed; raises DamagedError where it is not in that one form."""
        try:
            value: Any = strict_json.loads(payload, max_bytes=1 << 16)
            made = cls(**value)
            made.moment  # noqa: B018 - raises where there is none
            # True equals 1, and is not what was meant.
            plain = all(type(said) is (int if name == "step" else str) for name, said in value.items())
            same = plain and made.payload == payload and made.schema_version == VERSION
        except (CkptkitError, TypeError, ValueError) as error:
            raise DamagedError("says nothing that is known here") from error
        if not same:
            raise DamagedError("says nothing that is known here")
        return made
