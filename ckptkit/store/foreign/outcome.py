"""What came of one checkpoint that a trainer wrote."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ckptkit.errors import CkptkitError
from ckptkit.store.foreign.judging import Judgement
from ckptkit.trainers import State

Action = Literal["new", "adopted", "replaced", "kept", "copy", "left", "refused"]
"""``new``: it would be adopted (a dry run); ``kept``: it has a manifest; ``copy``: of one that is adopted; ``left``: it
is not whole, or nobody can tell; ``refused``: it is whole, and cannot be given a manifest."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One checkpoint, what it is worth, and what was done.

    Attributes:
        judgement: what is known of it.
        state: the same after its content was judged as well.
        action: what was done.
        reasons: why, one line each.
        run: the run that it belongs to; None where its folder cannot be one.
        step: its step; None where nobody can tell.
        manifest: where its manifest lies, for people.
        backend: which backend takes it.
        error: what kept it from being adopted.
        warnings: what was found in its files and does not forbid to resume from it, one line each.
        cleared: manifests that had become void, one line each.
    """

    judgement: Judgement
    state: State
    action: Action
    reasons: Sequence[str]
    run: str | None = None
    step: int | None = None
    manifest: str | None = None
    backend: str | None = None
    error: CkptkitError | None = None
    warnings: Sequence[str] = ()
    cleared: Sequence[str] = ()

    @property
    def path(self) -> Path:
        """Its folder or main file."""
        return self.judgement.path

    @property
    def ref(self) -> str | None:
        """``RUN@STEP``."""
        return None if self.run is None or self.step is None else f"{self.run}@{self.step}"

    @property
    def listed(self) -> bool:
        """Whether it has a manifest now."""
        return self.action in ("adopted", "replaced", "kept")
