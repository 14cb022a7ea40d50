"""Pins and tags of a run: what may change after a checkpoint is written lives here, replaced atomically."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ckptkit.digest import open_regular
from ckptkit.errors import DamagedError, StoreError
from ckptkit.formats import strict_json
from ckptkit.storage.durable import replace_file, storage_errors
from ckptkit.storage.locks import marking

_NAME = "refs.json"
_VERSION = "1.0"
_MAX_BYTES = 16 << 20
_HINT = "correct the file, or remove it to forget pins and tags"


@dataclass(slots=True)
class Refs:
    """Pinned steps, and the tags of steps."""

    pins: set[int] = field(default_factory=set)
    tags: dict[int, set[str]] = field(default_factory=dict)


def read(state_folder: Path) -> Refs:
    """Return the run's pins and tags; raises DamagedError if the file is not what it should be.

    A damaged file stops a prune instead of forgetting what was pinned.
    """
    path = state_folder / _NAME
    try:
        descriptor = open_regular(path)
    except FileNotFoundError:
        return Refs()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from error
    with open(descriptor, "rb") as stream:
        data = stream.read(_MAX_BYTES + 1)
    try:
        return _parsed(strict_json.loads(data, max_bytes=_MAX_BYTES), path)
    except strict_json.StrictJsonError as error:
        raise DamagedError(f"{path}: {error}", hint=_HINT) from error


def _parsed(value: Any, path: Path) -> Refs:
    try:
        if value["schema_version"] != _VERSION:
            raise ValueError
        pins = {int(step) for step in value["pins"]}
        tags = {int(step): {str(tag) for tag in names} for step, names in value["tags"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(
            f"{path}: does not hold pins and tags of version {_VERSION}",
            hint=_HINT,
        ) from error
    return Refs(pins, tags)


@contextmanager
def changed(state_folder: Path) -> Iterator[Refs]:
    """Yield the pins and tags to be changed by the block; they are written atomically when it ends well."""
    with marking(state_folder):
        refs = read(state_folder)
        yield refs
        value = {
            "schema_version": _VERSION,
            "pins": sorted(refs.pins),
            "tags": {str(step): sorted(tags) for step, tags in sorted(refs.tags.items()) if tags},
        }
        with storage_errors("refs"):
            replace_file(state_folder / _NAME, strict_json.dumps(value, indent=1) + b"\n")
