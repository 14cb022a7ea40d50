"""Which file of one checkpoint is which of another: trainers put the step into the names of files."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath

from ckptkit.manifest.models import FileEntry

_DIGITS = re.compile(r"\d+")
Pair = tuple[FileEntry | None, FileEntry | None]


def pairs(a: Sequence[FileEntry], b: Sequence[FileEntry], step_a: int, step_b: int) -> Iterator[Pair]:
    """Yield the files of an item in pairs; None where the other checkpoint has no such file.

    Files are the same by their path (``policy/model.safetensors``), else by their path without the checkpoint's own
    step (``checkpoint-500/optimizer.pt``), else if they are the only ones left of their folder and suffix.

    Args:
        a: files of the first checkpoint.
        b: files of the second.
        step_a: step of the first.
        step_b: step of the second.
    """
    found: dict[str, FileEntry] = {}
    left_a, left_b = list(a), list(b)
    for name in (_path, _without_step, _kind):
        one, other = _alone(left_a, name, step_a), _alone(left_b, name, step_b)
        found |= {one[key].path: other[key] for key in one if key in other}
        taken = {file.path for file in found.values()}
        left_a = [file for file in left_a if file.path not in found]
        left_b = [file for file in left_b if file.path not in taken]
    for file in a:
        yield file, found.get(file.path)
    for file in left_b:
        yield None, file


def _alone(files: Sequence[FileEntry], name: Callable[[FileEntry, int], str], step: int) -> dict[str, FileEntry]:
    """Return by name the files that share theirs with no other."""
    counts = Counter(name(file, step) for file in files)
    return {key: file for file in files if counts[key := name(file, step)] == 1}


def _path(file: FileEntry, _: int) -> str:
    return file.path


def _without_step(file: FileEntry, step: int) -> str:
    return _DIGITS.sub(lambda digits: "{step}" if int(digits[0]) == step else digits[0], file.path)


def _kind(file: FileEntry, _: int) -> str:
    path = PurePosixPath(file.path)
    return f"{len(path.parts)} {path.suffix}"
