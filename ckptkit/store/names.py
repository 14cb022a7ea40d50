"""What there is in a store, by name: runs, steps, what is in the trash, tags. Of checkpoints nothing is read."""

from collections.abc import Iterator

from ckptkit.catalog import refs
from ckptkit.errors import CkptkitError
from ckptkit.manifest.names import is_run
from ckptkit.storage import Storage


def runs(storage: Storage) -> list[str]:
    """Return the runs that hold a checkpoint; those that may not be read, or have a name that none may have, do not."""
    return [run for run in dict.fromkeys(at.run for at in storage.scan(skip_unreadable=True)) if is_run(run)]


def steps(storage: Storage, run: str) -> list[int]:
    """Return the steps of a run, the newest first."""
    return sorted({at.step for at in storage.scan(run) if at.step is not None}, reverse=True)


def removed_steps(storage: Storage, run: str) -> list[int]:
    """Return the steps of a run that are in the trash, the one removed last first."""
    return list(dict.fromkeys(one.step for one in storage.removed(run) if one.step is not None))


def tags(storage: Storage) -> Iterator[str]:
    """Yield the tags of all runs, each once; those of a run whose file of them is damaged are left out."""
    seen: set[str] = set()
    for run in runs(storage):
        try:
            found = refs.read(storage, run).tags.values()
        except CkptkitError:
            continue
        for tag in sorted({tag for some in found for tag in some} - seen):
            seen.add(tag)
            yield tag
