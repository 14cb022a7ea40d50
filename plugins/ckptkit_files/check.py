"""Looks into files whose format their beginning or their name tells, without a framework and without unpickling."""

import json
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from ckptkit.errors import DamagedError
from ckptkit.formats import strict_json
from ckptkit.formats.npy import check_npy, check_npz
from ckptkit.formats.pickles import check_pickle_file
from ckptkit.formats.torch_files import check_torch_file
from ckptkit.formats.zips import check_zip
from ckptkit.problem import Problem, Severity

_TORCH = (".ckpt", ".pt", ".pth")


def check_files(directory: Path, files: Sequence[str]) -> Iterator[Problem]:
    """Yield the problems of an item's files; of an unknown format only that the file is there and is a file.

    Args:
        directory: the item's folder.
        files: names relative to it.
    """
    for name in files:
        path = directory / name
        try:
            regular = stat.S_ISREG(path.lstat().st_mode)
            start = _start(path) if regular else b""
        except OSError as error:
            yield Problem("file-missing", f"cannot be read ({error.strerror})", file=name)
            continue
        if not regular:
            yield Problem("file-missing", "is not a regular file", file=name)
        else:
            yield from _by_kind(path, name, start)


def _start(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(6)


def _by_kind(path: Path, name: str, start: bytes) -> Iterator[Problem]:
    if name.endswith(_TORCH):
        yield from check_torch_file(path, file=name)
    elif name.endswith(".npz"):
        yield from check_npz(path, file=name)
    elif name.endswith(".npy") or start == b"\x93NUMPY":
        yield from check_npy(path, file=name)
    elif name.endswith(".json"):
        yield from _json(path, name)
    elif start.startswith(b"PK\x03\x04"):
        yield from check_zip(path, file=name)
    elif start.startswith(b"\x80") or name.endswith((".pkl", ".pickle")):
        yield from check_pickle_file(path, file=name)


def _json(path: Path, name: str) -> Iterator[Problem]:
    try:
        strict_json.load(path)
    except DamagedError as error:
        # Trainers log NaN, which strict JSON refuses and Python reads.
        severity: Severity = "warning" if _python_reads(path) else "error"
        yield Problem("bad-json", error.message.removeprefix(f"{path.name}: "), file=name, severity=severity)


def _python_reads(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return True
