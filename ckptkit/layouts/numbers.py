"""What the number in a name means, by the word before it: a step, or something that also counts up."""

import re

_WORD = r"(?:^|[^a-z])(?P<word>checkpoint|ckpt|(?:global[-_]?)?steps?|iter(?:ation)?)(?P<join>[-_=]?)(?P<step>\d{1,18})"
_AT_END = re.compile(_WORD + r"$", re.IGNORECASE)
_SETTING = re.compile(
    r"(?:^|[-_.])(?:n|num|max|total|warmup|every|per)[-_]?(?:steps?|iter(?:ation)?)[-_=]?\d+$", re.IGNORECASE
)
_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".zip", ".npz")
_WHOLE = re.compile(r"\d{1,18}")
_END = re.compile(r"(?<!\d)(\d+)(?:_steps)?$")
_PART = re.compile(r"-\d+-of-\d+$")


def step_by_word(name: str, *, steps: bool = False, saves: bool = False) -> int | None:
    """Return the step that a name ends in; None where it is the number of something else, or of who knows what.

    Args:
        name: of a folder, or of a file with its suffix.
        steps: whether the writer is known to number by the step: then a number alone, and ``checkpoint-N``, is one.
        saves: whether the writer is known to count its saves in ``checkpoint_N``.
    """
    if steps and _WHOLE.fullmatch(name):
        return int(name)
    stem = next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name)
    match = _AT_END.search(stem)
    if match is None or _SETTING.search(stem):
        return None
    if match["word"].lower() in ("checkpoint", "ckpt") and (not steps or (saves and match["join"] == "_")):
        return None
    return int(match["step"])


def is_part(name: str) -> bool:
    """Return whether a name ends as one of many files does that an index holds together: ``-00001-of-00002``."""
    return _PART.search(name) is not None


def end_number(stem: str) -> int | None:
    """Return the number that a name without its suffix ends in, which trainers count up; a part of many has none."""
    match = None if is_part(stem) else _END.search(stem)
    return int(match[1]) if match else None
