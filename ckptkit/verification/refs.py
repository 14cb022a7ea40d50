"""Are the pins and tags of runs what was written? Damaged ones would let prune remove what was pinned."""

from collections.abc import Iterable

from ckptkit.errors import CkptkitError
from ckptkit.problem import Problem
from ckptkit.storage import Location, refs
from ckptkit.verification.report import RefsReport


def damaged(places: Iterable[Location]) -> list[RefsReport]:
    """Return one report for each run among these places whose pins and tags cannot be read or trusted."""
    found = []
    for run, state in sorted({at.run: at.state_folder for at in places}.items()):
        path = state / refs.NAME
        try:
            refs.read(state)
        except CkptkitError as error:
            message = error.message.removeprefix(f"{path}: ")
            found.append(RefsReport(run, path, Problem("refs-damaged", f"pins and tags: {message}", refs.NAME)))
    return found
