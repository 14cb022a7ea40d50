"""A resume command, ready to run: the arguments for one checkpoint and what a scheduler needs around them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """What is to be run, and what a scheduler needs around it.

    Attributes:
        argv: the expanded argument list.
        cwd: folder to run in; ``shell`` and ``argv0`` print only the command.
        env: names of environment variables that the run had; values are never kept.
        run: name of the run, for the name of a job.
        refresh: a command that prints ``argv`` anew, NUL-separated (``ckptkit resume-cmd RUN --format argv0``): a job
            that is started again must resume from what is the newest checkpoint by then, not from this one.
        step: of the checkpoint that it resumes from.
        skipped: references of newer checkpoints that it does not resume from, each with the reason.
        unlisted: paths of newer ones that have no manifest yet, so that nobody has judged them.
    """

    argv: Sequence[str]
    cwd: str | None = None
    env: Sequence[str] = ()
    run: str = "resume"
    refresh: Sequence[str] = ()
    step: int | None = None
    skipped: Sequence[tuple[str, str]] = ()
    unlisted: Sequence[str] = ()


def redacted_arguments(argv: Sequence[str]) -> list[int]:
    """Return the positions of arguments that hold ``***``: a secret was removed, so they cannot run as they are."""
    return [i for i, argument in enumerate(argv) if "***" in argument]
