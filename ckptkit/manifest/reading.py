"""Read and write manifest bytes: everything that a reader must refuse is refused here."""

import re
from typing import Any

from ckptkit.digest import algorithm_of, digest_bytes
from ckptkit.errors import CkptkitError, ManifestError, NewerFormatError, UsageError
from ckptkit.formats import strict_json
from ckptkit.manifest import names
from ckptkit.manifest.limits import MAX_BYTES, OLD_GRADES
from ckptkit.manifest.models import SCHEMA_VERSION, Manifest
from ckptkit.manifest.parts import Faults, Place
from ckptkit.manifest.redaction import redact_fields

_VERSION = re.compile(r"([0-9]{1,6})\.([0-9]{1,6})")
_MAJOR, _MINOR = (int(part) for part in SCHEMA_VERSION.split("."))


def sealed(fields: dict[str, Any], algorithm: str) -> tuple[Manifest, bytes]:
    """Return the manifest with its digest filled in, and the bytes of its file; secrets in free texts are masked.

    Args:
        fields: all fields of ``Manifest`` but ``digest``, as plain values.
        algorithm: ``blake3`` or ``sha256``.

    Raises:
        CkptkitError: the fields break a law of the format; nothing is repaired silently.
    """
    fields = redact_fields(strict_json.plain(fields))
    members = {name: strict_json.written(value, margin="  ") for name, value in fields.items()}
    fields["digest"] = digest_bytes(strict_json.joined(members).canonical.encode(), algorithm)
    members["digest"] = strict_json.written(fields["digest"])
    data = strict_json.joined(members).lines.encode() + b"\n"
    if len(data) > MAX_BYTES:
        raise ManifestError(f"would be {len(data)} bytes long, at most {MAX_BYTES} are read")
    return _validated(fields), data


def parse(data: bytes) -> Manifest:
    """Return the manifest of a file; see ``examine``."""
    return examine(data)[0]


def examine(data: bytes) -> tuple[Manifest, bool]:
    """Parse and validate the bytes of a manifest file, its own digest included.

    Returns:
        The manifest, and whether an older writer let something through that is masked in it; the file stays as it is.

    Raises:
        NewerFormatError: written by a newer major version.
        UnsafeContentError: a file path leaves the folder.
        ManifestError: anything else that breaks a law of docs/reference/manifest.md.
    """
    try:
        fields = strict_json.loads(data, max_bytes=MAX_BYTES)
    except strict_json.StrictJsonError as error:
        raise ManifestError(str(error)) from error
    if not isinstance(fields, dict):
        raise ManifestError("is not a JSON object")
    minor = _check_version(fields.get("schema_version"))
    said = _in_todays_words(fields) if minor == 0 else fields
    masked = redact_fields(said)
    manifest = _validated(masked, minor)
    _check_digest(fields)
    return manifest, masked != said


def _validated(fields: dict[str, Any], minor: int = _MINOR) -> Manifest:
    found = Faults()
    manifest = Manifest.read(fields, found)
    if minor <= _MINOR and found.unknown:
        raise ManifestError(f"has the unknown field {_path(found.unknown[0])[:80]!r}")
    _check_names(manifest)
    return manifest


def _check_version(version: object) -> int:
    if not isinstance(version, str) or not (match := _VERSION.fullmatch(version)):
        raise ManifestError("has no schema_version such as '1.0': not a manifest of ckptkit")
    major, minor = int(match[1]), int(match[2])
    if major != _MAJOR:
        raise NewerFormatError(f"has schema_version {version}; this ckptkit reads {_MAJOR}.x")
    return minor


def _in_todays_words(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a manifest 1.0 as 1.1 names them; what does not fit is left for validation to refuse."""
    items = fields.get("items")
    if not isinstance(items, dict):
        return fields
    return fields | {"items": {name: _captured(item) for name, item in items.items()}}


def _captured(item: Any) -> Any:
    said = item.get("exactness") if isinstance(item, dict) else None
    if not isinstance(said, dict) or "captured" in item:
        return item
    others = {name: value for name, value in said.items() if name not in ("grade", "reason")}
    grade, reason = said.get("grade"), said.get("reason")
    word = OLD_GRADES.get(grade, grade) if isinstance(grade, str) and grade not in ("complete", "partial") else None
    captured = others | {"grade": word, "reasons": [] if reason is None else [reason]}
    return {name: value for name, value in item.items() if name != "exactness"} | {"captured": captured}


def _path(place: Place) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def _check_digest(fields: dict[str, Any]) -> None:
    try:
        content = strict_json.dumps({k: v for k, v in fields.items() if k != "digest"})
    except UsageError as error:  # a key that begins with "$"
        raise ManifestError(error.message) from error
    if digest_bytes(content, algorithm_of(fields["digest"])) != fields["digest"]:
        raise ManifestError("does not match its own digest: it was changed or damaged after it was written")


def _check_names(manifest: Manifest) -> None:
    try:
        names.check_run(manifest.run)
        for name in manifest.items:
            names.check_item_name(name)
        names.check_item_names(manifest.items)
    except CkptkitError as error:
        raise ManifestError(error.message) from error
    names.check_paths(f.path for item in manifest.items.values() for f in item.files)
    for name, item in manifest.items.items():
        if item.path is not None:
            names.check_given(item.path, name, [f.path for f in item.files])
