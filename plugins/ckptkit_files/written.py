"""What a program hands to the backend: files that it wrote itself, and what only it can know of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ckptkit.backend import Captured


@dataclass(frozen=True, slots=True)
class Written:
    """Files that the caller wrote, whole and closed, with what it knows of how training goes on from them.

    Attributes:
        files: name in the item -> where the file is now; it is copied.
        captured: the caller's own grade. It answers for it: nothing here can check that.
        step: the step at which the files believe to be.
        counters: other counts that they hold.
        metadata: JSON values for people and for the caller's own restore.
        hazards: one line each: what may make a resume differ.
        digests: digests of what training goes on from, by part, for an observer to compare.
    """

    files: Mapping[str, Path]
    captured: Captured
    step: int | None = None
    counters: Mapping[str, int] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    hazards: Sequence[str] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
