"""What the ledger is trusted with, and what a verification, or a save, leaves in it.

Only what verified is trusted: what was found damaged is read again each time, as the next reading may succeed, and
nothing is to be removed on the word of a ledger that something is bad.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ckptkit.catalog import manifests
from ckptkit.catalog.known import Known
from ckptkit.catalog.ledger import Ledger
from ckptkit.manifest.models import Manifest
from ckptkit.problem import Problem, fails
from ckptkit.storage import Entry, Stamp
from ckptkit.verification import judge, observation
from ckptkit.verification.report import LEVELS, CheckpointReport, Level

_MAY_PASS = ("file-unreadable", "file-changed", "backend-failed", "manifest-newer")
"""Codes of what may be otherwise the next time although no file was changed."""
_OF_NO_FILE = ("resume-", "signatures-")
"""How codes begin of what is found out anew each time: no file that has a stamp says it."""
Seen = tuple[float, Mapping[str, Stamp]]
"""When the stamps of a checkpoint were taken, and these."""


def holds(at: Entry, known: Known, level: Level) -> bool:
    """Return whether a checkpoint that verified on a level, or a deeper one, is still the same, file by file.

    An observation that was sealed since is read: it is small, and no part of what is resumed from.
    """
    if not known.good or _depth(known.level) < LEVELS.index(level):
        return False
    if not known.judge or known.judge != judge.signature():
        return False
    now = at.storage.stamps(at, known.stamps)
    if now is None:
        return False
    changed = known.changed(now)
    if not changed:
        return True
    return changed == {at.observed_file} and not observation.problems(at, str(known.facts.get("digest")))


def _depth(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else -1


def report(at: Entry, known: Known, level: Level) -> CheckpointReport | None:
    """Return what was found when it was verified, with its manifest read again; None where it cannot be read."""
    manifest, problem = manifests.read(at)
    if manifest is None or problem is not None or manifest.digest != known.facts.get("digest"):
        return None
    problems = [Problem(**{**fields, "names": tuple(fields["names"])}) for fields in known.problems]
    count = sum(len(item.files) for item in manifest.items.values())
    return CheckpointReport(at, level, manifest, problems, count, known_since=known.when)


def seen(at: Entry) -> Seen | None:
    """Return the stamps of a checkpoint as they are before it is verified."""
    moment = time.time()
    found = at.storage.stamps(at, _listed(manifests.read(at)[0]) if at.layout.shared else ())
    return None if found is None else (moment, found)


def note(ledger: Ledger, before: Seen | None, found: CheckpointReport) -> None:
    """Keep what a verification found, if no file can have changed in between or since without a sign of it."""
    at, manifest = found.at, found.manifest
    if before is None or manifest is None or found.gone:
        return
    moment, stamped = before
    problems = [p for p in found.problems if not p.code.startswith(_OF_NO_FILE)]
    level: Level = "format" if found.level == "resume" else found.level
    good = found.files_checked > 0 and not fails(problems)
    if not good and any(p.severity == "unjudged" or p.code in _MAY_PASS for p in problems):
        ledger.forget(at.run, [at.name])
        return
    if not at.storage.telling(at, stamped, moment):
        return
    if at.storage.stamps(at, _listed(manifest)) != stamped or (good and _deeper_known(ledger, at, stamped, level)):
        return
    ledger.note(at.run, at.name, _known(level, good, moment, stamped, manifest, problems))


def note_saved(
    ledger: Ledger,
    at: Entry,
    manifest: Manifest,
    warnings: Sequence[Problem],
    digested: Mapping[int, tuple[int, int]],
    *,
    checked: Mapping[str, Stamp],
    level: Level = "format",
) -> None:
    """Keep that a checkpoint was saved: its files were digested and checked when they had been written.

    Args:
        ledger: of the store.
        at: the checkpoint.
        manifest: its manifest.
        warnings: what was found in its files.
        digested: by inode, size and mtime of each file as they were before it was digested.
        checked: by path, the stamps of files that the store has checked as it took them.
        level: how far its files were looked into.
    """
    moment = time.time()
    listed = _listed(manifest)
    found = at.storage.stamps(at, listed)
    ours = {} if found is None else {path: stamp for path, stamp in found.items() if path != at.manifest_file}
    if found is None or not all(checked.get(p) == stamp or _as_digested(stamp, digested) for p, stamp in ours.items()):
        return
    there = ours.keys() == {*listed} or (manifest.dedup == "tensor" and not _lacks_any(at, listed))
    if there and at.storage.settled(at, found):
        ledger.note(at.run, at.name, _known(level, True, moment, found, manifest, warnings))


def _lacks_any(at: Entry, listed: Collection[str]) -> bool:
    """Return whether a file is not there, also not in parts, or whether another one is."""
    return {*at.storage.names(at)} != {*listed, at.manifest_file}


def _as_digested(stamp: Stamp, digested: Mapping[int, tuple[int, int]]) -> bool:
    inode = stamp[-1]  # another kind of store has other stamps, and is not noted
    return isinstance(inode, int) and digested.get(inode) == tuple(stamp[:2])


def _known(
    level: Level,
    good: bool,
    moment: float,
    stamped: Mapping[str, Stamp],
    manifest: Manifest,
    problems: Sequence[Problem],
) -> Known:
    return Known(level, good, moment, judge.signature(), stamped, facts(manifest), [asdict(p) for p in problems])


def _listed(manifest: Manifest | None) -> Collection[str]:
    return [file.path for item in manifest.items.values() for file in item.files] if manifest else ()


def _deeper_known(ledger: Ledger, at: Entry, stamped: Mapping[str, Stamp], level: Level) -> bool:
    """Return whether a deeper look at the same files, by the same code, is known: a shallow one adds nothing."""
    if level == "format":
        return False
    known = ledger.one(at.run, at.name)
    deeper = known is not None and known.judge == judge.signature() and _depth(known.level) > LEVELS.index(level)
    return deeper and known is not None and not known.changed(stamped)


def facts(manifest: Manifest) -> dict[str, Any]:
    """Return what retention wants to know of a checkpoint, as JSON values."""
    return {
        "run": manifest.run,
        "digest": manifest.digest,
        "sequence": manifest.sequence,
        "created_at": manifest.created_at,
        "size": manifest.size,
        "metrics": dict(manifest.metrics),
        "parents": [[p.run, p.step] for p in (manifest.parent, manifest.origin) if p is not None],
        **({} if manifest.dedup is None else {"shares": True}),
    }
