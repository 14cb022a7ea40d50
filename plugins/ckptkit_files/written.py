"""What a program hands to the backend: files that it wrote itself, and what only it can know about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ckptkit.backend import Captured


@dataclass(frozen=True, slots=True)
class Written:
    """Files that the caller wrote, whole and closed, with what it knows about continuing from them.

    Attributes:
        files: name in the item -> where the file is now; it is copied.
        captured: the caller's own grade, which it answers for: nothing here can check it.
        step: the step that the files are at.
        counters: other counts that they hold.
        metadata: JSON values for people and for the caller's own restore.
        hazards: one line each: what may make a resume differ.
        digests: digests of what training continues from, by part, for an observer to compare.
    """

    files: Mapping[str, Path]
    captured: Captured
    step: int | None = None
    counters: Mapping[str, int] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    hazards: Sequence[str] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
