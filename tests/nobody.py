"""Run the program as a user who owns nothing: tests that run as root, as they do in CI, may read and write all."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_PROGRAM = """
import contextlib, json, os, sys
from ckptkit.cli import main
warm, words = json.loads(sys.argv[1])
sys.argv = ['ckptkit', *warm]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
    main.run()  # all that it imports is imported now: nobody may read it
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
sys.argv = ['ckptkit', *words]
main.run()
"""


def as_nobody(
    words: Sequence[str | Path], *, warm: Sequence[str | Path], cwd: Path, home: Path
) -> subprocess.CompletedProcess[str]:
    """Return the finished command.

    Args:
        words: of the command.
        warm: of one like it, on files that may be read: it is run first.
        cwd: where; pytest's own folders are for one user only.
        home: of the user.
    """
    both = json.dumps([list(map(str, warm)), list(map(str, words))])
    env = {**os.environ, "CKPTKIT_NO_CACHE": "1", "HOME": str(home)}
    command = [sys.executable, "-c", _PROGRAM, both]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
