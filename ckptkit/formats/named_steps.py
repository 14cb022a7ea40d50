"""The step that the name of a file or folder gives, where its writer means a step by it."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

_WORD = r"(?:^|[^a-z])(?P<word>checkpoint|ckpt|(?:global[-_]?)?steps?|iter(?:ation)?)(?P<join>[-_=]?)(?P<step>\d{1,18})"
_AT_END = re.compile(_WORD + r"$", re.IGNORECASE)
_LIGHTNING = re.compile(r"(?:^|[^a-z])step=(?P<step>\d{1,18})(?:-v\d+)?(?=-|$)")
_SB3 = re.compile(r".*_(?P<step>\d{1,18})_steps")
_AGENT = re.compile(r".*_(\d{1,18})_steps\.zip")
_BESIDE = re.compile(r".*_(replay_buffer|vecnormalize)_(\d{1,18})_steps\.pkl")
_SETTING = re.compile(
    r"(?:^|[-_.])(?:n|num|max|total|warmup|every|per)[-_]?(?:steps?|iter(?:ation)?)[-_=]?\d+$", re.IGNORECASE
)
_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".zip", ".npz")
_ACCELERATE = ("random_states_*.pkl", "optimizer.bin", "scheduler.bin")
_NUMBERED = ("trainer_state.json", "training_state/*", "pretrained_model/*", "_CHECKPOINT_METADATA", "*.safetensors")
"""Files of writers that name their folders by the step: LeRobot, Orbax, trainers of one's own."""
_OWN_FOLDER = ("trainer_state.json", "training_state/*", "_CHECKPOINT_METADATA", ".metadata", "*_model_states.pt")
"""Files by which a folder among others is a checkpoint: Trainer, LeRobot, Orbax, DCP, DeepSpeed."""


def named_step(source: Path, files: Sequence[str]) -> dict[str, int]:
    """Return the name that gives a step, with the step; empty where none does.

    A number alone, and ``checkpoint-N``, is a step only for a folder of a writer that is known to mean one: Keras and
    others count epochs so, and accelerate counts its saves (``checkpoint_2``).

    Args:
        source: what is adopted; also what it links to, and the folder around ``pretrained_model``, are looked at.
        files: names of the item's files.
    """
    real = source.resolve()
    folder = source.is_dir()
    names = [source.name, real.name, *([real.parent.name] if real.name == "pretrained_model" else [])]
    numbered = folder and any(fnmatchcase(name, sign) for name in files for sign in _NUMBERED)
    counts_saves = any(fnmatchcase(name, sign) for name in files for sign in _ACCELERATE)
    for name in names:
        step = _step(name, numbered or source.suffix == ".safetensors", counts_saves)
        if step is not None:
            return {f"the name {name!r}": step}
    return _torn(files)


def folder_step(name: str, files: Sequence[str]) -> int | None:
    """Return the step that the name of a folder gives which lies among others; None where it is no checkpoint.

    Args:
        name: of the folder, or its path.
        files: names relative to it.
    """
    if not any(fnmatchcase(file, sign) for file in files for sign in _OWN_FOLDER):
        return None
    return _step(name.rpartition("/")[2], True, any(fnmatchcase(file, sign) for file in files for sign in _ACCELERATE))


def _torn(files: Sequence[str]) -> dict[str, int]:
    """Return the names of SB3's newest agent and of the newest file beside agents, if that is not the agent's."""
    agents = {int(match[1]): name for name in files if (match := _AGENT.fullmatch(name))}
    for kind in ("replay_buffer", "vecnormalize"):
        beside = {int(match[2]): name for name in files if (match := _BESIDE.fullmatch(name)) and match[1] == kind}
        if agents and beside and max(agents) not in beside:
            newest = {agents[max(agents)]: max(agents), beside[max(beside)]: max(beside)}
            return {f"the name {name!r}": step for name, step in newest.items()}
    return {}


def step_of_checkpoint(name: str) -> int | None:
    """Return the step in the name that Lightning or SB3 gives a file."""
    if match := _LIGHTNING.search(name.removesuffix(".ckpt")) if name.endswith(".ckpt") else None:
        return int(match["step"])
    match = _SB3.fullmatch(name.removesuffix(".zip")) if name.endswith(".zip") else None
    return int(match["step"]) if match else None


def _step(name: str, numbered: bool, counts_saves: bool) -> int | None:
    stem = next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name)
    if numbered and re.fullmatch(r"\d{1,18}", name):
        return int(name)
    if (step := step_of_checkpoint(name)) is not None:
        return step
    match = _AT_END.search(stem)
    if match is None or _SETTING.search(stem):
        return None
    if match["word"].lower() in ("checkpoint", "ckpt") and (not numbered or (counts_saves and match["join"] == "_")):
        return None
    return int(match["step"])
