"""Judge what lies on a service one by one, each while its bytes are here; what is as it was is not fetched at all."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ckptkit import trainers
from ckptkit.catalog import manifests
from ckptkit.errors import CkptkitError, DiskFullError, NotFoundError
from ckptkit.layouts import ADOPTED
from ckptkit.storage import Entry
from ckptkit.store import adoption
from ckptkit.store.foreign import content, judging
from ckptkit.store.foreign.judging import Judgement
from ckptkit.store.foreign.standing_in import StandIn
from ckptkit.store.stranger_item import Wrote
from ckptkit.trainers import Judged, Told
from ckptkit.trainers.finding import Sighting

if TYPE_CHECKING:
    from ckptkit.store.checkpoint_store import CheckpointStore


def judged(store: "CheckpointStore", run: str, sightings: Iterable[Sighting], copies: StandIn) -> Iterator[Judgement]:
    """Yield what each is worth. Until the next is asked for, its files can be read where it was seen.

    Those that keep their names come first, by the number in them, by name: what is in them is not known before.
    """
    for one in sorted(sightings, key=_order):
        if (known := _unchanged(store, run, one)) is not None:
            yield known
            continue
        with ExitStack() as held:
            try:
                held.enter_context(copies.filled(one))
            except (DiskFullError, NotFoundError) as error:  # the next may fit, and be there
                yield judging.not_judged(one, error)
            else:
                yield judging.judge(one)


def _order(sighting: Sighting) -> tuple[bool, int, str]:
    found = sighting.seen.found
    return found.moves, -1 if found.number is None else found.number, found.name


def _unchanged(store: "CheckpointStore", run: str, one: Sighting) -> Judgement | None:
    """Return what its manifest says of one that was adopted, and is as it was; None where it has to be looked into."""
    for name in one.adopted:
        at = Entry(run, name, ADOPTED, store.storage)
        manifest = manifests.read(at)[0]
        if manifest is None or len(manifest.items) != 1:
            continue
        item, found = next(iter(manifest.items)), one.seen.found
        wrote = {item: Wrote(content.main(one), found.files)}
        try:
            known = adoption.known(store.storage, run, found.name, manifest.step, wrote, ledger=store.ledger)
        except CkptkitError:
            continue
        if known is not None:
            trainer = trainers.TRAINERS.get(one.kind)
            title = trainer.title if trainer is not None else "no known trainer"
            told = Told(manifest.step, "its manifest", dict(manifest.counters), dict(manifest.metrics))
            return Judgement(one, title, item, Judged("complete", ("it is as it was when it was adopted",)), told)
    return None
