"""Are the pins and tags of runs what was written? Damaged ones would let prune remove what was pinned."""

from collections.abc import Iterable

from ckptkit.catalog import refs
from ckptkit.errors import CkptkitError
from ckptkit.problem import Problem
from ckptkit.storage import Entry
from ckptkit.verification.report import RefsReport


def damaged(places: Iterable[Entry]) -> list[RefsReport]:
    """Return one report for each run among the places whose pins and tags cannot be read or believed."""
    found = []
    for run, storage in sorted({at.run: at.storage for at in places}.items(), key=lambda pair: pair[0]):
        path = storage.where_state(run, refs.NAME)
        try:
            refs.read(storage, run)
        except CkptkitError as error:
            message = error.message.removeprefix(f"{path}: ")
            found.append(RefsReport(run, path, Problem("refs-damaged", f"pins and tags: {message}", refs.NAME)))
    return found
