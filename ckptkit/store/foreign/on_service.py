"""What trainers wrote to a service: looked at by its names, as if it lay in a folder of this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ckptkit.errors import NotFoundError, StoreError, UsageError
from ckptkit.manifest.names import check_run, is_run
from ckptkit.storage import Storage, open_storage, scratch_folders
from ckptkit.store.foreign import judging, looking
from ckptkit.store.foreign.looking import Sought
from ckptkit.store.foreign.places import Places
from ckptkit.store.foreign.standing_in import StandIn
from ckptkit.trainers import finding
from ckptkit.trainers.finding import NOBODYS, Sighting


@contextmanager
def looked(where: str, store: str | None) -> Iterator[tuple[Sought, Places, StandIn]]:
    """Yield what is at a URL, or below it, where the manifests go (beside it), and what has the names until the end.

    Args:
        where: the URL of a folder or of one checkpoint.
        store: URL of the store; None: what is looked at, or of a single checkpoint the folder that it lies in.

    Raises:
        NotFoundError: there is nothing.
        UsageError: it does not lie in the store.
    """
    storage, run = _placed(where, store)
    with scratch_folders.fresh() as scratch:
        scratch = scratch.resolve()
        yield _whole(where, storage, run, scratch, fixed=store is not None)


def _whole(where: str, storage: Storage, run: str, scratch: Path, *, fixed: bool) -> tuple[Sought, Places, StandIn]:
    """Return the one checkpoint that is meant, or those below, or the one that only its content tells to be one."""
    named = _above(storage, run, fixed=fixed)
    beside = None if named is None else StandIn(named.storage, scratch / "beside")
    if named is not None and beside is not None and _is_one(beside, named):
        beside.show(named.run)
        return _sought(beside, beside.top / named.run / named.name)
    stand_in = StandIn(storage, scratch / "below")
    stand_in.show(run)
    if not any((stand_in.top / run).iterdir()):
        raise NotFoundError(f"{where}: nothing is there", hint="check the URL")
    found = _sought(stand_in, stand_in.top / run)
    if not found[0].sightings and named is not None and beside is not None:
        by_content = _sought(beside, beside.top / named.run / named.name)
        return by_content if by_content[0].sightings else found
    return found


def _placed(where: str, store: str | None) -> tuple[Storage, str]:
    """Return the store, and the run in it that a URL stands for."""
    storage = open_storage(where)
    if store is None:
        return storage, "."
    root = open_storage(store)
    if not f"{storage.url}/".startswith(f"{root.url}/"):
        raise UsageError(
            f"{storage.url}: does not lie in the store {root.url}, and manifests lie beside what they are of",
            hint="leave --store out: the URL is the store then",
        )
    return root, check_run(storage.url.removeprefix(root.url).strip("/") or ".")


@dataclass(frozen=True, slots=True)
class _Named:
    """A name right in a run, which may be that of a checkpoint."""

    storage: Storage
    run: str
    name: str


def _above(storage: Storage, run: str, *, fixed: bool) -> _Named | None:
    """Return the name that a run of a store has in the folder around it; None where there is none.

    Args:
        storage: the store.
        run: ``.`` for the store itself.
        fixed: whether it has to stay the store.
    """
    if run != ".":
        above, _, name = run.rpartition("/")
        return _Named(storage, above or ".", name)
    scheme, _, rest = storage.url.partition("://")
    above, _, name = rest.rpartition("/")
    if fixed or not name or (not above and scheme != "memory"):  # what is left is a bucket or a host
        return None
    return _Named(open_storage(f"{scheme}://{above}"), ".", name)


def _is_one(beside: StandIn, one: _Named) -> bool:
    """Return whether a name is that of one checkpoint, or of a file; what is needed to see that is shown."""
    around = beside.top / one.run
    try:
        beside.show(one.run, deep=False)
    except StoreError:  # who may use a prefix need not see what is beside it
        around.mkdir(parents=True, exist_ok=True)
        (around / one.name).mkdir()
        return False
    if (around / one.name).is_dir() and is_run(one.name):
        beside.show(one.name if one.run == "." else f"{one.run}/{one.name}")
    found = finding.at(around / one.name)
    return (around / one.name).is_file() or (found is not None and found.kind != NOBODYS)


def _sought(stand_in: StandIn, path: Path) -> tuple[Sought, Places, StandIn]:
    def known(one: Sighting) -> bool:
        if not one.seen.folder.is_relative_to(stand_in.top):
            return False  # the store itself
        with stand_in.glimpsed(one):
            return judging.is_known(one)

    return looking.look(path, known=known), Places(stand_in.storage.url, stand_in.top), stand_in
