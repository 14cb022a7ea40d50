"""Signatures in the OpenSSF's form (OMS): a sigstore bundle around an in-toto statement of files and their digests."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from blake3 import blake3

from ckptkit.errors import DamagedError, UsageError
from ckptkit.formats import strict_json
from ckptkit.signing.envelope import Envelope, decoded
from ckptkit.signing.keys import PublicKey, SigningKey

TYPE = "application/vnd.in-toto+json"
MAX_BYTES = 64 << 20
_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_NAME_IT = "name the file that model-signing wrote"
_GIT = (".git", ".gitattributes", ".github", ".gitignore")


def require_known(key: PublicKey) -> None:
    """Raise UsageError for a key that model-signing verifies nothing of."""
    if key.kind == "ed25519":
        hint = "`ckptkit keygen FILE --kind p256` makes a key that it knows"
        raise UsageError("model-signing verifies no signature of an Ed25519 key", hint=hint)


def signed(name: str, digests: Mapping[str, str], ignored: Sequence[str], key: SigningKey) -> Envelope:
    """Return an envelope that model-signing verifies.

    Args:
        name: of the folder.
        digests: SHA-256 of each file in it, by path.
        ignored: paths in it that are not looked at: they may come and go.
        key: of one of the kinds that model-signing knows.
    """
    resources = [{"algorithm": "sha256", "digest": digest, "name": path} for path, digest in sorted(digests.items())]
    value = {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": _root(resources)}}],
        "predicateType": _PREDICATE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": sorted({*_GIT, *ignored}),
            },
            "resources": resources,
        },
    }
    return Envelope.signed(TYPE, json.dumps(value, sort_keys=True).encode(), key)


def bundle(envelope: Envelope, key: PublicKey) -> bytes:
    """Return the file that model-signing reads."""
    plain = envelope.plain()
    plain["signatures"][0]["keyid"] = ""
    material = {"publicKey": {"hint": hashlib.sha256(key.pem).hexdigest()}, "tlogEntries": []}
    value = {"mediaType": _BUNDLE, "verificationMaterial": material, "dsseEnvelope": plain}
    return json.dumps(value).encode()


def unbundled(data: bytes, keys: Sequence[PublicKey], where: str) -> Envelope:
    """Return the envelope in a file that model-signing wrote, with the key that it is by; errors name it ``where``.

    Raises:
        UsageError: it is no such file.
        DamagedError: none of the keys has signed it.
    """
    try:
        value = strict_json.loads(data, max_bytes=MAX_BYTES)
        if value["mediaType"] != _BUNDLE:
            raise UsageError(f"{where}: is no signature of model-signing, but {value['mediaType']!r}", hint=_NAME_IT)
        inner = value["dsseEnvelope"]
        (one,) = inner["signatures"]
        kind, payload, signature = inner["payloadType"], decoded(inner["payload"]), decoded(one["sig"])
    except UsageError:
        raise
    except (DamagedError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{where}: is no signature of model-signing", hint=_NAME_IT) from error
    found = (made for key in keys if (made := Envelope(kind, payload, key.id, signature)).is_by(key))
    if kind != TYPE or (envelope := next(found, None)) is None:
        raise DamagedError(
            f"{where}: is signed by none of the keys given", hint="name the key that signed it: --key FILE"
        )
    return envelope


def objection(envelope: Envelope, file: str, data: bytes) -> str | None:
    """Return why an envelope says nothing of a manifest; None: it does, to the byte.

    The manifest says the digests of all other files, so nothing else in it needs to be looked at.

    Args:
        envelope: what was signed.
        file: name of the manifest.
        data: its bytes.

    Raises:
        DamagedError: it is no statement of model-signing's.
    """
    resources = _resources(envelope)
    ours = [one for one in resources if str(one["name"]).rpartition("/")[2] == file]
    if not ours:
        return f"lists no {file}: it was signed by parts, or is about something else"
    return None if any(_is_of(one, data) for one in ours) else f"is about another {file}"


def _resources(envelope: Envelope) -> list[dict[str, Any]]:
    try:
        value = strict_json.loads(envelope.payload, max_bytes=MAX_BYTES)
        (subject,) = value["subject"]
        resources = value["predicate"]["resources"]
        known = (envelope.type, value["_type"], value["predicateType"]) == (TYPE, _STATEMENT, _PREDICATE)
        whole = subject["digest"] == {"sha256": _root(resources)}
        whole &= all(isinstance(one[name], str) for one in resources for name in ("name", "algorithm"))
    except (DamagedError, KeyError, TypeError, ValueError) as error:
        raise DamagedError("says nothing that is known here") from error
    if not (known and whole):
        raise DamagedError("says nothing that is known here")
    return list(resources)


def _root(resources: Sequence[Mapping[str, str]]) -> str:
    return hashlib.sha256(b"".join(bytes.fromhex(one["digest"]) for one in resources)).hexdigest()


def _is_of(resource: Mapping[str, Any], data: bytes) -> bool:
    """Return whether a digest is that of the data."""
    by: dict[object, Any] = {"sha256": hashlib.sha256, "blake2b": hashlib.blake2b, "blake3": blake3}
    digest = by.get(resource.get("algorithm"))
    return digest is not None and bool(digest(data).hexdigest() == resource.get("digest"))
