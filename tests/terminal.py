"""Run the program at a terminal of a given width, as a person does; or as another program whose output is one."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAM = [sys.executable, "-m", "ckptkit.cli.main"]
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Seen:
    """What came: the raw text of stdout and stderr together, and the exit code."""

    raw: str
    code: int

    @property
    def lines(self) -> list[str]:
        """The lines, without colours and moves of the cursor."""
        return _CONTROL.sub("", self.raw).replace("\r\n", "\n").splitlines()


def at_terminal(
    *arguments: str | Path,
    columns: int = 80,
    cwd: Path | None = None,
    program: Sequence[str] = PROGRAM,
    env: dict[str, str] | None = None,
) -> Seen:
    """Return what a person sees."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    variables = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "CKPTKIT_STORE")}
    variables |= {"TERM": "xterm", **(env or {})}
    process = subprocess.Popen(
        [*program, *map(str, arguments)], stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=variables
    )
    os.close(theirs)
    text = b""
    with contextlib.suppress(OSError):  # how Linux says that nobody writes there any more
        while block := os.read(ours, 65536):
            text += block
    os.close(ours)
    code = process.wait(timeout=60)
    return Seen(text.decode("utf-8", "replace"), code)
