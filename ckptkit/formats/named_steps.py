"""The step that the name of a file or folder gives, where its writer means a step by it."""

from collections.abc import Sequence
from pathlib import Path

from ckptkit.layouts import lerobot, sb3_callback, trainers


def named_step(source: Path, files: Sequence[str]) -> dict[str, int]:
    """Return the name that gives a step, with the step; empty where none does.

    Args:
        source: what is adopted; also what it links to, and the folder around ``pretrained_model``, are looked at.
        files: names of the item's files.
    """
    real = source.resolve()
    names = [source.name, real.name, *([real.parent.name] if real.name == lerobot.MODEL else [])]
    for name in names:
        step = trainers.step_of_item(name, files, folder=source.is_dir())
        if step is not None:
            return {f"the name {name!r}": step}
    return _torn(files)


def _torn(files: Sequence[str]) -> dict[str, int]:
    """Return the names of SB3's newest agent and of the newest file beside agents, if that is not the agent's."""
    agents = {step: name for name in files if (step := sb3_callback.step_of(name)) is not None}
    for kind in sb3_callback.KINDS:
        beside = sb3_callback.steps_beside(kind, files)
        if agents and beside and max(agents) not in beside:
            newest = {agents[max(agents)]: max(agents), beside[max(beside)]: max(beside)}
            return {f"the name {name!r}": step for name, step in newest.items()}
    return {}
