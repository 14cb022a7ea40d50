"""The one member that an object store adds to a manifest: where its payload lies. All other bytes are as sealed."""

import re
import uuid

from ckptkit.layouts.own_names import step_of_name

_MEMBER = re.compile(rb'\{"stored_in": "([^"\\/]{1,300})",')
LONGEST = 400
"""Bytes that a manifest may be longer than what was sealed."""


def new_place(name: str) -> str:
    """Return a place that nobody else writes to, and that was never used before, named after a checkpoint."""
    return f"{name}.{uuid.uuid4().hex}"


def with_place(manifest: bytes, place: str) -> bytes:
    """Return a sealed manifest with the place of its payload as its first member."""
    return b'{"stored_in": "%s",' % place.encode() + manifest.removeprefix(b"{")


def parted(data: bytes) -> tuple[bytes, str | None]:
    """Return the sealed bytes of a manifest, or of its beginning, and the place; None: its files lie beside it."""
    found = _MEMBER.match(data)
    if found is None:
        return data, None
    return b"{" + data[found.end() :], found[1].decode(errors="replace")


def is_place_of(place: str, name: str) -> bool:
    """Return whether a place belongs to the checkpoint of this name: a manifest copied to another step owns nothing."""
    own, dot, _ = place.rpartition(".")
    return bool(dot) and step_of_name(own) is not None and step_of_name(own) == step_of_name(name)
