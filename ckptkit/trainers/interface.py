"""What is known of a trainer beyond the names of its files: what is whole, what its state says, how it resumes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from ckptkit.layouts import Found, Listing

State = Literal["complete", "incomplete", "unknown"]


@dataclass(frozen=True, slots=True)
class Seen:
    """A checkpoint of a trainer, found by its names.

    Attributes:
        folder: in which all its files and folders lie.
        found: what its layout found.
        listing: of the folder.
    """

    folder: Path
    found: Found
    listing: Listing


@dataclass(frozen=True, slots=True)
class Judged:
    """Whether the trainer had finished a checkpoint.

    Attributes:
        state: ``complete``: it had; ``incomplete``: it had not, or half of it is gone; ``unknown``: nothing tells.
        reasons: why, one line each, for people.
    """

    state: State
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What a trainer's own state says; nothing is unpickled.

    Attributes:
        step: the training step; None where it says none.
        step_from: which file and field said it, for people.
        counters: further counts, such as ``epoch``.
        metrics: by name, as of this step.
        best: the metric by which it calls a checkpoint the best, and whether less or more of it is better.
        config: what its resume command needs to know (``algo``, ``env``), for ``{config.NAME}`` in templates.
        doubts: what does not fit together, one line each: the name says another step, a metric cannot be read.
    """

    step: int | None = None
    step_from: str = ""
    counters: Mapping[str, int] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    best: tuple[str, Literal["min", "max"]] | None = None
    config: Mapping[str, str | int | float] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resuming:
    """How training goes on from what a trainer wrote.

    Attributes:
        commands: templates of its own command, the fullest first. The first is taken whose ``{config.NAME}`` fields
            the checkpoint fills; none where every program has flags of its own.
        guess: what in the commands is a guess, and why; its first word is the argument. None where nothing is.
        without: why there is no command, where none is taken.
        call: what a program calls to go on.
    """

    commands: Sequence[Sequence[str]] = ()
    guess: str | None = None
    without: str = "has no command for all programs"
    call: str | None = None


NO_PROGRAM = "train.py is a guess: no file says which program it was, nor whether it has these flags"


class Trainer(Protocol):
    """One trainer, or one way to save that many use.

    Attributes:
        kind: of its layout.
        title: as its users call it: ``Hugging Face Trainer``.
        item: what the one item of its checkpoints is called: ``model``, ``agent``, ``policy``.
        resuming: how training goes on from them.
    """

    @property
    def kind(self) -> str: ...  # noqa: D102 - an attribute of the class

    @property
    def title(self) -> str: ...  # noqa: D102 - an attribute of the class

    @property
    def item(self) -> str: ...  # noqa: D102 - an attribute of the class

    @property
    def resuming(self) -> Resuming: ...  # noqa: D102 - an attribute of the class

    def judge(self, seen: Seen) -> Judged:
        """Return whether it had finished; only its own marks count, the content of files is judged by backends.

        Raises nothing for what is cut, hostile or not there: that is incomplete.
        """

    def told(self, seen: Seen) -> Told:
        """Return what its state says; what cannot be read is a doubt."""
