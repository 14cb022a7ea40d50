"""Is a checkpoint still what it was when its removal was planned? And is all that would go with it its own?"""

import contextlib
from collections.abc import Collection, Iterator, Mapping

from ckptkit.catalog import manifests, since_adopted
from ckptkit.catalog.known import Known
from ckptkit.errors import ConflictError, RefusedError
from ckptkit.layouts import ADOPTED
from ckptkit.manifest.names import UNLISTED
from ckptkit.storage import Entry
from ckptkit.store.surveying import Surveyed
from ckptkit.verification import Verifier

_TICK = 0.02  # seconds: by so much the clock of a file system may be behind


def require(one: Surveyed, pins: Collection[int]) -> None:
    """Raise unless a checkpoint may go as it was planned.

    Raises:
        ConflictError: it was pinned, or another was saved in its place, since it was surveyed; or it was found damaged
            then, and is not now: a disk, or a network, may fail once.
        RefusedError: no manifest lists what is in one of its files now, or a file in its folder.
    """
    if one.at.step in pins:
        raise ConflictError(f"{one.at.ref}: was pinned meanwhile")
    if one.known is not None and _unchanged(one.at, one.known):
        return
    now, problem = manifests.read(one.at)
    if now is None and one.digest and problem is not None:
        raise ConflictError(f"{one.at.ref}: was changed meanwhile: {problem.message}")
    if (now and now.digest) != one.digest:
        raise ConflictError(f"{one.at.ref}: was changed meanwhile")
    if now is None:
        return
    if not one.good and _may_be_good(one.at):
        raise ConflictError(f"{one.at.ref}: was found damaged ({one.reason}), and is not now")
    listed = {file.path: file.size for item in now.items.values() for file in item.files}
    if one.at.layout is ADOPTED:
        _require_as_adopted(one, listed)
    elif not one.at.layout.shared:
        _require_listed(one.at, listed)


def _unchanged(at: Entry, known: Known) -> bool:
    """Whether no file was changed, added or removed since it was verified: then there is nothing to read again."""
    now = at.storage.stamps(at, known.stamps)
    return now is not None and not known.changed(now)


def _may_be_good(at: Entry) -> bool:
    found = Verifier().verify(at)
    return found.good or found.not_judged or found.unread


def _require_as_adopted(one: Surveyed, listed: Mapping[str, int]) -> None:
    path = next(_since_surveyed(one, listed) if one.good else since_adopted.written(one.at, listed), None)
    if path is not None:
        raise RefusedError(
            f"{one.at.ref}: is not removed: {path} {since_adopted.REWRITTEN}", hint=since_adopted.JUDGED_ANEW
        )


def _since_surveyed(one: Surveyed, listed: Mapping[str, int]) -> Iterator[str]:
    # What is no newer than the manifest was there before it, however short ago that was.
    since = max(int((one.when - _TICK) * 1e9), since_adopted.adopted_at(one.at))
    for path, size in listed.items():
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found = one.at.storage.stat(one.at, path)
            if found.stamp[1] > since or found.size != size:
                yield path


def _require_listed(at: Entry, listed: Collection[str]) -> None:
    for path in at.storage.names(at):
        if path not in listed and path not in UNLISTED:
            raise RefusedError(f"{at.ref}: is not removed: no manifest lists {path}", hint="move that file away first")
