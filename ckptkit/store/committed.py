"""What a save returns: where the checkpoint is, its manifest, and what a person should hear of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ckptkit.errors import PartlyDoneError
from ckptkit.extensions import reason
from ckptkit.manifest.models import Manifest
from ckptkit.problem import Problem
from ckptkit.storage import Entry


@dataclass(frozen=True, slots=True)
class Committed:
    """A checkpoint that was just committed.

    Attributes:
        at: where it is.
        manifest: its manifest.
        left: by item, what was in the given folder but not saved, one line each.
        warnings: what was found in the files and does not forbid to save them.
    """

    at: Entry
    manifest: Manifest
    left: Mapping[str, Sequence[str]] = field(default_factory=dict)
    warnings: Sequence[Problem] = ()

    @property
    def path(self) -> Path:
        """The checkpoint's folder; raises StoreError where its store is not on a file system."""
        return self.at.folder


def do_then(then: Callable[[Committed], object], committed: Committed) -> PartlyDoneError | None:
    """Do what a caller wants done after a commit, and return what is to be raised if that fails."""
    try:
        then(committed)
    except Exception as error:
        ref, hint = committed.at.ref, getattr(error, "hint", None) or "`then` of the save has raised it"
        done = PartlyDoneError(f"{ref}: was saved, but what was to be done then failed: {reason(error)}", hint=hint)
        done.__cause__ = error
        return done
    return None
