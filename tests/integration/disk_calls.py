"""Start a script with ``disk_calls.c`` before the C library, tell that what to write down or fail, read its log."""

import ctypes
import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")
COMPILER = shutil.which("cc")
OPEN, CREATE, READ, WRITE, FLUSH, CLOSE, NAME, REMOVE, LOOK, LOCK, FOLDERS = (1 << place for place in range(11))
"""The kinds of calls; see the enumeration there."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call that changed something.

    Attributes:
        what: ``create write truncate flush mkdir remove rename exchange link symlink``.
        inode: of the file or folder; of names, that behind the second path afterwards.
        number: where a write begins, or the size that a file is cut or extended to.
        one: the path, or the first of two.
        other: the second path.
        data: what was written.
    """

    what: str
    inode: int
    number: int
    one: str
    other: str
    data: bytes


def build(folder: Path) -> Path:
    """Compile the library into a folder; returns it."""
    assert COMPILER is not None
    library = folder / "disk_calls.so"
    if not library.exists():
        command = [COMPILER, "-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o", library, _SOURCE, "-ldl"]
        subprocess.run(command, check=True, timeout=120)
    return library


def preloaded(script: str, folder: Path, *arguments: str) -> list[str | Path]:
    """Return the command that runs a script of this folder with the library, built in ``folder``."""
    start = "import os, sys; os.environ['LD_PRELOAD'] = sys.argv[1]; os.execv(sys.executable, sys.argv[2:])"
    return [sys.executable, "-c", start, build(folder), sys.executable, _SOURCE.with_name(script), *arguments]


def record(root: Path, log: Path) -> None:
    """Write down from now on what this process does below a folder."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    ctypes.CDLL(None).disk_record(os.fsencode(root), descriptor)


def fail(
    root: Path, kinds: int, number: int, error: int = 0, *, lasting: bool = False, signal: int = 0, seconds: int = 0
) -> None:
    """Fail the call of this number below a folder, and those after it if it is lasting.

    Args:
        root: the folder.
        kinds: of the calls that are counted.
        number: of the call, from 1.
        error: what ``errno`` says.
        lasting: whether all later ones fail, too.
        signal: is raised before the call instead.
        seconds: by which the clock moves before the call instead, and stays so.
    """
    function = ctypes.CDLL(None).disk_fail
    function.argtypes = [ctypes.c_char_p, ctypes.c_uint, ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_int]
    function.argtypes = [*function.argtypes, ctypes.c_long]
    function(os.fsencode(root), kinds, number, error, int(lasting), signal, seconds)


def counter() -> ctypes.c_long:
    """Return what counts the calls from the next ``fail`` on, also those of processes that are forked later."""
    shared = ctypes.c_long.from_buffer(mmap.mmap(-1, mmap.PAGESIZE))
    ctypes.CDLL(None).disk_count_in(ctypes.byref(shared))
    return shared


def calls(log: Path) -> Iterator[Call]:
    """Read a log."""
    with log.open("rb") as stream:
        while line := stream.readline():
            what, inode, number, *lengths = line.decode().split()
            one, other, data = (stream.read(int(length)) for length in lengths)
            yield Call(what, int(inode), int(number), os.fsdecode(one), os.fsdecode(other), data)
