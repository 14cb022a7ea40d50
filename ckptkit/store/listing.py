"""What `list` shows of each checkpoint, read fast and without judging content."""

from collections.abc import Iterator
from dataclasses import dataclass

from ckptkit.errors import CkptkitError
from ckptkit.manifest.redaction import redact_text
from ckptkit.manifest.summary import Summary, summarise
from ckptkit.renamed import warn
from ckptkit.storage import LocalStorage, Location, refs
from ckptkit.storage import shown as evidence


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the listing: a readable checkpoint has a summary, any other the reason why not.

    ``shown`` is what has been shown about it so far, or None for nothing. ``refs_problem`` says why the pins and tags
    of its run are not known, where they are damaged: then ``pinned`` and ``tags`` say nothing.
    """

    at: Location
    summary: Summary | None
    problem: str | None
    pinned: bool
    tags: tuple[str, ...]
    shown: evidence.Shown | None = None
    refs_problem: str | None = None

    @property
    def marks_problem(self) -> str | None:
        """The old name of ``refs_problem``, for one more version."""
        warn("Listed.marks_problem", "Listed.refs_problem")
        return self.refs_problem


def listing(storage: LocalStorage, run: str | None = None) -> Iterator[Listed]:
    """Yield the checkpoints of a run, or of the whole store, by run and step."""
    known: dict[str, tuple[refs.Refs, str | None]] = {}
    for at in storage.scan(run):
        if at.run not in known:
            known[at.run] = _refs_of(at)
        own, damaged = known[at.run]
        pinned, tags = at.step in own.pins, tuple(sorted(map(redact_text, own.tags.get(at.step or 0, ()))))
        try:
            summary = summarise(storage.read_manifest(at))
        except CkptkitError as error:
            if at.identity is not None:  # else it was removed since it was found
                yield Listed(at, None, error.message, pinned, tags, refs_problem=damaged)
        else:
            problem = None if summary.step == at.step else f"manifest says step {summary.step}"
            shown = evidence.most(evidence.read(at, summary.digest))
            yield Listed(at, summary, problem, pinned, tags, shown, damaged)


def _refs_of(at: Location) -> tuple[refs.Refs, str | None]:
    """Return the pins and tags of a run, or none and why: one damaged file must not hide what is in the store."""
    try:
        return refs.read(at.state_folder), None
    except CkptkitError as error:
        return refs.Refs(), error.message
