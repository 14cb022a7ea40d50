"""``shown.json``: what was shown about a checkpoint since it was saved, beside its manifest; nothing here is a claim.

The file is rewritten as more is shown. It names the manifest it belongs to by digest and carries its own; one that is
damaged, or belongs to another checkpoint, shows nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from ckptkit.digest import DEFAULT_ALGORITHM, digest_bytes
from ckptkit.errors import CkptkitError
from ckptkit.formats import strict_json
from ckptkit.manifest.redaction import redact_text
from ckptkit.storage import Entry

VERSION = "1.0"
_MAX_BYTES = 16 << 20

How = Literal["read-back", "replayed", "rehearsed", "observed"]
ORDER: tuple[How, ...] = ("read-back", "replayed", "rehearsed", "observed")
"""From least to most: put back and equal; a probe replayed; the run's command in a new process; a real resume."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One thing that was shown.

    Attributes:
        how: in what way.
        steps: how many steps were compared; 0 where none were.
        differs: where the first difference is (``step 12: optimizer of item 'policy'``), or None: the same throughout.
        at: when, UTC, ISO 8601.
        detail: of what: ``data: 3 batches; rng: 8 words of the stream of each generator``.
    """

    how: How
    steps: int = 0
    differs: str | None = None
    at: str = ""
    detail: str = ""

    @property
    def words(self) -> str:
        """For people: ``rehearsed 8``, ``read-back``, ``differs (rehearsed 8)``."""
        text = f"{self.how} {self.steps}" if self.how in ("rehearsed", "observed") else self.how
        return text if self.differs is None else f"differs ({text})"

    @property
    def resume(self) -> str:
        """What it says about a resume, for people: ``exact (rehearsed 8 steps)``; nothing else is called exact."""
        steps = f"{self.how} {self.steps} steps" if self.how in ("rehearsed", "observed") else self.how
        if self.differs is not None:
            return f"differs ({steps}): {self.differs}"
        return f"exact ({steps})" if self.exact else f"not shown to be exact ({steps})"

    def fields(self) -> dict[str, Any]:
        """Return it as JSON fields, with a summary."""
        return {**asdict(self), "words": self.words, "exact": self.exact}

    @property
    def exact(self) -> bool:
        """Whether the run itself was shown to continue as it would have."""
        return self.differs is None and self.how in ("rehearsed", "observed") and self.steps > 0


def read(at: Entry, manifest_digest: str) -> Sequence[Shown]:
    """Return what was shown of the checkpoint, the latest of each way; nothing where the file cannot be believed."""
    try:
        value = json.loads(at.storage.read(at, at.shown_file, _MAX_BYTES))
        content = {k: v for k, v in value.items() if k != "digest"}
        if value["manifest"] != manifest_digest or value["schema_version"] != VERSION:
            return ()
        if digest_bytes(strict_json.dumps(content), DEFAULT_ALGORITHM) != value["digest"]:
            return ()
        return tuple(Shown(**one) for one in value["shown"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, CkptkitError):
        return ()


def most(shown: Sequence[Shown]) -> Shown | None:
    """Return what says most: a difference before anything else, then a real resume, a rehearsal, a replay."""
    return max(shown, key=_weight, default=None)


def by_weight(shown: Sequence[Shown]) -> Sequence[Shown]:
    """Return it in order, from what says least to what says most."""
    return tuple(sorted(shown, key=_weight))


def _weight(one: Shown) -> tuple[bool, int]:
    return one.differs is not None, ORDER.index(one.how)


def note(at: Entry, manifest_digest: str, new: Shown) -> bool:
    """Add what was just shown, in place of what was shown in the same way before.

    Returns:
        Whether it could be written: a read-only store is not an error.
    """
    moment = new.at or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kept = [one for one in read(at, manifest_digest) if one.how != new.how]
    differs = None if new.differs is None else redact_text(new.differs)  # it may quote what a program printed
    entries = [*kept, replace(new, at=moment, detail=redact_text(new.detail), differs=differs)]
    content: dict[str, Any] = {
        "schema_version": VERSION,
        "manifest": manifest_digest,
        "shown": [asdict(one) for one in sorted(entries, key=lambda one: ORDER.index(one.how))],
    }
    content["digest"] = digest_bytes(strict_json.dumps(content), DEFAULT_ALGORITHM)
    try:
        at.storage.put(at, at.shown_file, strict_json.dumps(content, indent=1) + b"\n", replace=True)
    except CkptkitError:
        return False
    return True
