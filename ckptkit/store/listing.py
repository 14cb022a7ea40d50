"""What `list` shows of each checkpoint, read fast and without judging content."""

from collections.abc import Iterator
from dataclasses import dataclass

from ckptkit.errors import CkptkitError
from ckptkit.manifest.summary import Summary, summarise
from ckptkit.storage import LocalStorage, Location, refs
from ckptkit.storage import shown as evidence


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the listing: a readable checkpoint has a summary, any other the reason why not.

    ``shown`` is what was shown of it so far, or None: nothing.
    """

    at: Location
    summary: Summary | None
    problem: str | None
    pinned: bool
    tags: tuple[str, ...]
    shown: evidence.Shown | None = None


def listing(storage: LocalStorage, run: str | None = None) -> Iterator[Listed]:
    """Yield the checkpoints of a run, or of the whole store, by run and step."""
    known: dict[str, refs.Refs] = {}
    for at in storage.scan(run):
        if at.run not in known:
            known[at.run] = refs.read(at.state_folder)
        marks = known[at.run]
        pinned, tags = at.step in marks.pins, tuple(sorted(marks.tags.get(at.step or 0, ())))
        try:
            summary = summarise(storage.read_manifest(at))
        except CkptkitError as error:
            yield Listed(at, None, error.message, pinned, tags)
        else:
            problem = None if summary.step == at.step else f"manifest says step {summary.step}"
            shown = evidence.most(evidence.read(at, summary.digest))
            yield Listed(at, summary, problem, pinned, tags, shown)
