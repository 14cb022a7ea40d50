"""Pins and tags: what a person says of a checkpoint after it was saved."""

from ckptkit.catalog import refs
from ckptkit.errors import NotFoundError
from ckptkit.manifest.names import check_tag
from ckptkit.manifest.redaction import require_open
from ckptkit.storage import Entry, Storage


def pin(storage: Storage, at: Entry, *, pinned: bool) -> Entry:
    """Keep a checkpoint whatever retention says, or take that back."""
    with refs.changed(storage, at.run) as changed:
        if pinned:
            changed.pins.add(at.step or 0)
        else:
            changed.pins.discard(at.step or 0)
    return at


def require_tag(tag: str, *, new: bool) -> None:
    """Raise UsageError unless it can be a tag; a new one that has the shape of a secret is not repeated."""
    if new:
        require_open("a tag", [tag])
    check_tag(tag)


def tag(storage: Storage, at: Entry, tag: str, *, remove: bool) -> Entry:
    """Give a checkpoint a tag, or take it away; raises NotFoundError where it has none to take."""
    with refs.changed(storage, at.run) as changed:
        tags = changed.tags.setdefault(at.step or 0, set())
        if remove and tag not in tags:
            raise NotFoundError(f"{at.ref}: has no tag {tag!r}", hint=f"it has {', '.join(sorted(tags)) or 'none'}")
        (tags.discard if remove else tags.add)(tag)
    return at
