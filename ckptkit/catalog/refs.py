"""Pins and tags of a run: what may change after a checkpoint is written lives here, sealed and replaced atomically."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ckptkit.digest import DEFAULT_ALGORITHM, algorithm_of, digest_bytes
from ckptkit.errors import DamagedError
from ckptkit.formats import strict_json
from ckptkit.storage import Storage

NAME = "refs.json"
_VERSION = "1.1"
_UNSEALED = "1.0"
_FIELDS = {"schema_version", "pins", "tags"}
_MAX_BYTES = 16 << 20
_HINT = "put it back from a copy, or remove it to forget the run's pins and tags; until then nothing is pruned there"


@dataclass(slots=True)
class Refs:
    """Pinned steps, and the tags of steps."""

    pins: set[int] = field(default_factory=set)
    tags: dict[int, set[str]] = field(default_factory=dict)


def read(storage: Storage, run: str) -> Refs:
    """Return the run's pins and tags.

    Raises:
        DamagedError: the file is not what was written; nothing may be removed then, since nobody knows what was pinned.
        StoreError: it cannot be read.
    """
    data = storage.read_state(run, NAME, _MAX_BYTES)
    if data is None:
        return Refs()
    path = storage.where_state(run, NAME)
    try:
        value = strict_json.loads(data, max_bytes=_MAX_BYTES)
        _check_seal(value)
        return _parsed(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = error if isinstance(error, DamagedError) else f"does not hold pins and tags of version {_VERSION}"
        raise DamagedError(f"{path}: {reason}", hint=_HINT) from error


def _check_seal(value: Any) -> None:
    """Raise DamagedError unless the value matches its own digest; files of version 1.0 have none."""
    version, fields = value["schema_version"], value.keys()
    if version not in (_VERSION, _UNSEALED) or fields - {"digest"} != _FIELDS:
        raise ValueError
    if "digest" not in fields and version == _UNSEALED:
        return
    content = strict_json.dumps({name: value[name] for name in _FIELDS})
    if digest_bytes(content, algorithm_of(value["digest"])) != value["digest"]:
        raise DamagedError("does not match its own digest: it was changed or damaged after it was written")


def _parsed(value: Any) -> Refs:
    pins = {_step(step) for step in value["pins"]}
    return Refs(pins, {int(step): {_word(tag) for tag in names} for step, names in value["tags"].items()})


def _step(value: object) -> int:
    if type(value) is not int:
        raise TypeError
    return value


def _word(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _sealed(refs: Refs) -> bytes:
    value: dict[str, Any] = {
        "schema_version": _VERSION,
        "pins": sorted(refs.pins),
        "tags": {str(step): sorted(tags) for step, tags in sorted(refs.tags.items()) if tags},
    }
    value["digest"] = digest_bytes(strict_json.dumps(value), DEFAULT_ALGORITHM)
    return strict_json.dumps(value, indent=1) + b"\n"


@contextmanager
def changed(storage: Storage, run: str) -> Iterator[Refs]:
    """Yield the pins and tags to be changed by the block; they are written atomically when it ends well."""
    with storage.locked(run, "refs"):
        refs = read(storage, run)
        yield refs
        storage.replace_state(run, NAME, _sealed(refs))
