"""Before the first step: can checkpoints be saved here, does anybody else write here, are newer ones in the way?"""

from collections.abc import Sequence

from ckptkit.catalog import beside_others, manifests, refs, succession
from ckptkit.errors import ConflictError, ProtectedError, UsageError
from ckptkit.manifest.names import MAX_STEP, check_run
from ckptkit.resume.quoting import quote_word
from ckptkit.storage import Entry, Storage
from ckptkit.store import choosing, saving, tiers
from ckptkit.store.details import require_open_run
from ckptkit.verification import Verifier

FRESH = -1
"""The step that a fresh start continues from: before everything."""


def prepare(storage: Storage, run: str, *, after: int, replace_newer: bool) -> Sequence[Entry]:
    """Make a run ready to be trained; see ``CheckpointStore.prepare``."""
    check_run(run)
    require_open_run(storage, run)
    if isinstance(after, bool) or not FRESH <= after <= MAX_STEP:
        raise UsageError(f"after {after!r} is not a step", hint=f"give the step that training goes on from, or {FRESH}")
    storage.require_reachable(run)
    storage.prepare(run, needed=succession.last(storage, run).size + saving.SPARE)
    storage.hold(run)
    newer = [at for at in storage.scan(run) if at.step is not None and at.step > after]
    if replace_newer:
        return _moved(storage, run, newer)
    if any(found.good or found.not_judged for found in map(Verifier().verify, reversed(newer))):
        raise _conflict(run, after, newer)
    return ()  # those that are damaged make room when their step is reached again


def make_way(mirror: Storage, run: str, *, after: int, replace_newer: bool) -> None:
    """Do the same in a run's mirror, in which it is not trained: else it would be resumed from what lies beyond.

    Raises:
        ConflictError: checkpoints are in the way; whether they verify is for who resumes from them to find out.
        ProtectedError: one that would be moved is pinned.
    """
    newer = [at for at in tiers.listed(mirror, run) if at.step is not None and at.step > after]
    if replace_newer:
        _moved(mirror, run, newer)
    elif newer := [at for at in newer if manifests.read(at)[0] is not None]:
        raise _conflict(run, after, newer, f" in its mirror {mirror.url}")


def _moved(storage: Storage, run: str, newer: Sequence[Entry]) -> Sequence[Entry]:
    if not newer:
        return ()
    with storage.locked(run, "change"):
        pins = refs.read(storage, run).pins
        if pinned := [at.ref for at in newer if at.step in pins]:
            raise ProtectedError(
                f"{pinned[-1]}: is pinned, and would have to make room",
                hint=f"`ckptkit unpin {quote_word(pinned[-1])}` lets it go; or give the new training another run name",
            )
        others = {path for at in storage.scan(run) if at not in newer for path in beside_others.payload(at)}
        for at in reversed(newer):  # a crash in the middle leaves an older state, never a hole
            storage.remove(at, [path for path in beside_others.payload(at) if path not in others])
    return newer


def _conflict(run: str, after: int, newer: Sequence[Entry], where: str = "") -> ConflictError:
    there = choosing.some([at.step for at in newer])
    message = f"{run}: has checkpoints already{where} ({there}), and this training starts from the beginning"
    if after != FRESH:
        message = f"{run}: has newer checkpoints{where} ({there}) than step {after}, from which this training goes on"
    return ConflictError(
        message,
        hint=f"go on from the newest (`ckptkit resume-cmd {quote_word(run)}`), give this training another run name, "
        "or move them to the trash with --replace-newer (replace_newer=True)",
    )
