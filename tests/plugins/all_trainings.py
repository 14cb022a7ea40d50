"""Program: every training of resumed_by_trainers.py, and those that are killed in a save: all_trainings.py DIR.

Each in a fork of this one process, since importing the frameworks takes longer than all trainings together.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import killed_in_save
import resumed_by_trainers

STEPS = 8
KILLED = (
    *("hugging_face:model", "hugging_face:optimizer", "hugging_face:state", "lightning:move"),
    *("sb3:zip", "sb3:buffer", "sb3:between"),
)


def forked(root: Path, name: str, train: Callable[[Path], None]) -> int:
    """Train in root/name/out; what it says goes to root/name/said. Returns how it ended, negative by a signal."""
    out = root / name / "out"
    out.mkdir(parents=True)
    if (child := os.fork()) == 0:
        said = os.open(root / name / "said", os.O_CREAT | os.O_WRONLY)
        os.dup2(said, 1)
        os.dup2(said, 2)
        train(out.resolve())
        sys.stdout.flush()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(root: Path) -> None:
    """Train all; fail if one fails, or if one that is to be killed is not."""
    import gymnasium  # noqa: F401
    import lightning.pytorch.demos.boring_classes  # noqa: F401
    import stable_baselines3  # noqa: F401
    from transformers import BertForSequenceClassification, Trainer  # noqa: F401

    for train in resumed_by_trainers.ALL:
        ended = forked(root, train.__name__, lambda out, train=train: train(out, STEPS, None, 0))
        if ended != 0:
            sys.exit((root / train.__name__ / "said").read_text())
    for case in KILLED:
        kind, _, at = case.partition(":")
        ended = forked(root, case, lambda out, kind=kind, at=at: killed_in_save.CASES[kind](out, at))
        if ended >= 0:
            sys.exit((root / case / "said").read_text() + f"{case} was not killed: {ended}")


if __name__ == "__main__":
    os.environ |= resumed_by_trainers.ENVIRONMENT
    main(Path(sys.argv[1]))
