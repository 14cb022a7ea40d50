"""Run the real program in a process of its own, as a shell would."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PROGRAM = [sys.executable, "-m", "ckptkit.cli.main"]
TIMEOUT = 120


def ckptkit(
    *arguments: str | Path,
    store: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    program: list[str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Return the finished process; a variable of ``env`` that is None is taken away."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("CKPTKIT")}
    for name, value in (env or {}).items():
        variables.pop(name, None)
        if value is not None:
            variables[name] = value
    before = [] if store is None else ["--store", str(store)]
    return subprocess.run(
        [*(program or PROGRAM), *before, *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        cwd=cwd,
        env=variables,
        stdin=subprocess.DEVNULL,
        timeout=TIMEOUT,
    )


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """Check how every error ends: exit code, no data, one line with the reason, one line that says what to do."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("skipped ")]
    assert len(lines) == 2, done.stderr
    assert lines[0].startswith("ckptkit: ")
    assert lines[1].startswith("  ")
    for word in words:
        assert word in lines[0], (word, lines[0])
