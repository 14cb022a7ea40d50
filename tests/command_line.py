"""Run the program, in a process of its own as a shell would, or (ten times faster) in this one."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

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
    variables = _surroundings()
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


def inside(
    *arguments: str | Path,
    store: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the entry point of the console script in this process; what it does to the process is undone."""
    from ckptkit.cli import main

    before = [] if store is None else ["--store", str(store)]
    command = ["ckptkit", *before, *map(str, arguments)]
    variables = _surroundings() | dict(env or {})
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    code: object = 0
    with (
        mock.patch.object(sys, "argv", command),
        mock.patch.dict(os.environ, variables, clear=True),
        contextlib.chdir(cwd or Path.cwd()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main.run()
        except SystemExit as end:
            code = end.code
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]  # a BytesIO
    assert isinstance(code, int)
    return subprocess.CompletedProcess(command, code, *texts)


def typed(line: str, *, cwd: Path = Path("/"), first: Path | None = None, **variables: str) -> str:
    """Run a printed line in a shell that finds this Python as ``python``; return what it said, all of it.

    Args:
        line: as it was printed.
        cwd: where it is typed.
        first: a folder of programs that are found before any other.
        variables: of the environment, beside those of this process.
    """
    folders = [*([str(first)] if first else []), str(Path(sys.executable).parent), os.environ["PATH"]]
    done = subprocess.run(
        line, shell=True, cwd=cwd, env=_surroundings() | {"PATH": ":".join(folders)} | variables,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT,
    )  # fmt: skip
    assert done.returncode == 0, (line, done.stdout[-3000:])
    return done.stdout


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


def _surroundings() -> dict[str, str]:
    """Return the variables of this process, without those that would decide what the program does or prints."""
    kept = ("CKPTKIT_CACHE",)
    return {k: v for k, v in os.environ.items() if k in kept or not (k.startswith("CKPTKIT") or k == "COLUMNS")}
