"""Rehearse a resume: run the resume command in a scratch copy of the store and compare it with the run that saved.

If the run was observed (``CheckpointStore.observe``), what it did next lies beside the checkpoint: one run of the
command then shows whether a resume continues in the same way, and the result is noted in ``shown.json``. Otherwise the
command runs twice, and what the two runs write is compared: that shows only whether the script is deterministic from
there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ckptkit.backend import Proof
from ckptkit.catalog import manifests, shown
from ckptkit.manifest.models import ItemEntry
from ckptkit.storage import Storage
from ckptkit.store import scratching
from ckptkit.store.choosing import Chosen
from ckptkit.store.readback import recorded
from ckptkit.store.running import Attempt, run
from ckptkit.store.scratching import Place
from ckptkit.verification import observation
from ckptkit.verification.observation import Digests, Observation, first_difference
from ckptkit.verification.report import AS_EACH_OTHER, AS_THE_RUN


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out.

    Attributes:
        proof: ``same`` or ``differs``, for as many steps as were compared; ``of`` says with what.
        compared: what was compared, for people: ``step 5001``.
        runs: how often the command ran.
    """

    proof: Proof
    compared: Sequence[str] = ()
    runs: int = 1


def rehearse(
    storage: Storage,
    chosen: Chosen,
    *,
    steps: int,
    template: Sequence[str] | None = None,
    seconds: float = 600,
) -> Outcome:
    """Run the resume command from a checkpoint and compare what it does.

    A run is over when its observer has noted the steps, when its process ends, or when it has saved a checkpoint that
    far.

    Args:
        storage: the store.
        chosen: the checkpoint.
        steps: how far to go.
        template: the command; the manifest's when left out.
        seconds: limit for each run.

    Raises:
        UsageError: nothing says how to resume it.
        StoreError, DamagedError: the scratch copy cannot be written, or the checkpoint changed meanwhile.
    """
    live = observation.read(chosen.at, chosen.manifest)
    if live is None:
        return _twice(storage, chosen, steps, template, seconds)
    wanted = Observation({step: live.steps[step] for step in sorted(live.steps)[:steps]})
    with scratching.copied(storage, chosen) as place:
        attempt = run(place, steps=steps, until=max(wanted.steps), template=template, seconds=seconds)
    result = _against(wanted, attempt, chosen.manifest.step)
    if result.proof.verdict in ("same", "differs"):
        differs = result.proof.reason if result.proof.verdict == "differs" else None
        shown.note(chosen.at, chosen.manifest.digest, shown.Shown("rehearsed", result.proof.steps, differs))
    return result


def _against(live: Observation, attempt: Attempt, start: int) -> Outcome:
    """Compare one run of the command with what the live run noted."""
    notes = attempt.notes
    if notes is None:
        return Outcome(Proof("unproven", attempt.ended or "the command noted no step: does it call observer.note?"))
    if notes.began <= start:
        reason = f"the command did not resume: the first step it took is {notes.began}, not one after {start}"
        return Outcome(Proof("unproven", reason))
    mine = Observation(notes.steps)
    common = live.common(mine)
    compared, steps = [f"step {step}" for step in common], observation.far(common, start)
    if differs := live.difference(mine):
        if notes.environment:
            reason = f"{differs}; the numeric environment differs: {'; '.join(notes.environment)}"
            return Outcome(Proof("environment-differs", reason, steps, AS_THE_RUN), compared)
        return Outcome(Proof("differs", differs, steps, AS_THE_RUN), compared)
    if attempt.ended is not None:
        reason = f"{attempt.ended} (after {len(common)} of {len(live.steps)} steps, all the same)"
        return Outcome(Proof("unproven", reason, steps, AS_THE_RUN), compared)
    if not common:
        return Outcome(Proof("unproven", "the command did none of the steps that the run noted"))
    return Outcome(Proof("same", None, steps, AS_THE_RUN), compared)


def _twice(storage: Storage, chosen: Chosen, steps: int, template: Sequence[str] | None, seconds: float) -> Outcome:
    """Run the command twice and compare the two with each other, and with what the run itself saved later."""
    runs: list[dict[str, Digests]] = []
    for _ in range(2):
        with scratching.copied(storage, chosen) as place:
            attempt = run(place, steps=steps, template=template, seconds=seconds)
            written = _written(place, attempt)
        if not written:
            return Outcome(Proof("unproven", attempt.ended or "the command wrote nothing into the scratch store"))
        runs.append(written)
    first, second = runs
    common = [name for name in first if name in second]
    if not common:
        return Outcome(Proof("unproven", "the two runs wrote no step in common"), (), 2)
    for name in common:
        if difference := first_difference(first[name], second[name]):
            proof = Proof("differs", f"the two runs differ in {name}: {difference}", len(common), AS_EACH_OTHER)
            return Outcome(proof, common, 2)
    original = _saved(storage, chosen)
    for name in common:
        if name in original and (difference := first_difference(original[name], first[name])):
            reason = f"the two runs agree, but differ from the run itself in {name}: {difference}"
            return Outcome(Proof("differs", reason, len(common), AS_THE_RUN), common, 2)
    return Outcome(Proof("same", None, len(common), AS_EACH_OTHER), common, 2)


def _written(place: Place, attempt: Attempt) -> dict[str, Digests]:
    noted = attempt.notes.steps if attempt.notes else {}
    return {f"step {step}": noted[step] for step in sorted(noted)} | _saved(place.storage, place.chosen)


def _saved(storage: Storage, chosen: Chosen) -> dict[str, Digests]:
    """Return what a run saved after the checkpoint: by name, by item, by part, a digest."""
    found: dict[str, Digests] = {}
    for at in storage.scan(chosen.at.run):
        later, _ = manifests.read(at)
        if later is not None and later.step > chosen.manifest.step:
            found[f"checkpoint {later.step}"] = {
                _comparable(name, item, chosen): dict(recorded(item)) or {f.path: f.digest for f in item.files}
                for name, item in later.items.items()
            }
    return found


def _comparable(name: str, item: ItemEntry, chosen: Chosen) -> str:
    """Return a name that only items of the same format share: digests may be of something else in another."""
    before = chosen.manifest.items.get(name)
    same = before is None or before.format_version == item.format_version
    return name if same else f"{name} (format {item.format_version})"
