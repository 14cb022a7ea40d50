"""Files of 0 bytes: damage if the name promises content, a marker where such markers are usual, else a doubt."""

import re
from collections.abc import Iterator
from pathlib import PurePath

from ckptkit.formats.sources import Source
from ckptkit.problem import Problem

_CONTENT = {
    ".7z", ".arrow", ".avi", ".bin", ".bz2", ".ckpt", ".dat", ".data", ".distcp", ".feather", ".gz", ".hdf",
    ".index", ".jax", ".joblib", ".jpeg", ".jpg", ".meta", ".metadata", ".mlmodel", ".model", ".mp4", ".msgpack",
    ".nemo", ".orbax", ".pb", ".pdparams", ".png", ".pt2", ".ptl", ".sst", ".tar", ".tflite", ".tfrecord",
    ".tfrecords", ".tgz", ".wav", ".weights", ".xz", ".zst", "checkpoint", "latest",
}  # fmt: skip
"""Suffixes, and whole names, of files that are never empty; those of kinds that are checked are not repeated."""
_MARKS = {
    ".cfg", ".complete", ".csv", ".done", ".err", ".gitattributes", ".gitignore", ".gitkeep", ".ini", ".jsonl",
    ".keep", ".lock", ".log", ".md", ".ok", ".out", ".py", ".toml", ".tsv", ".txt", ".typed", ".yaml", ".yml",
}  # fmt: skip
"""Suffixes, and whole names, of text and of markers, which mean something by being there."""
_DATABASE_FILE = re.compile(r"[0-9a-f]{32}")
"""What TensorStore names the files of an OCDBT database."""
_WHOLE_MARKS = ("_SUCCESS", "LOCK", "CURRENT")


def check_empty(source: Source) -> Iterator[Problem]:
    """Yield ``file-empty``: an error where such a file must have content, a warning where that is not known."""
    path = PurePath(source.name)
    if ".data-" in path.name:
        return  # the index of the bundle says how long each of its data files is
    ending = path.suffix or path.name
    if ending in _CONTENT or _DATABASE_FILE.fullmatch(path.name):
        yield source.problem("file-empty", "is empty: a file of this kind has content")
    elif ending not in _MARKS and path.name not in _WHOLE_MARKS:
        yield source.problem("file-empty", "is empty: was it written completely?", "warning")
