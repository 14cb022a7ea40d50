"""Finds ``ckptkit.yaml`` upward from a folder; if there is none, YAML and pydantic are not even loaded."""

import os
import stat
from pathlib import Path

from ckptkit.config.settings import Config
from ckptkit.errors import RefusedError, UsageError

FILE_NAME = "ckptkit.yaml"
MAX_BYTES = 1 << 20


def find_config(start: Path) -> Path | None:
    """Return the nearest ``ckptkit.yaml`` in the folder or above it, or None.

    The search ends at the home folder if it gets there, else at the root of the file system.
    """
    try:
        folder = Path(os.path.abspath(start))
    except OSError:  # the working directory was deleted
        return None
    home = os.environ.get("HOME")
    ends = {os.path.abspath(home), os.path.realpath(home)} if home else set()
    for here in (folder, *folder.parents):
        if os.path.lexists(here / FILE_NAME):
            return here / FILE_NAME
        if str(here) in ends:
            return None
    return None


def load_config(start: Path) -> Config:
    """Return the configuration that applies in a folder; an empty one if there is no file.

    Raises:
        UsageError: the file cannot be read, or holds something it must not (the message names file, line and key).
        RefusedError: another user put it into a folder that anyone can write to, above ours.
    """
    path = find_config(start)
    if path is None:
        return Config()
    data = _read(path)
    from ckptkit.config.schema import parse  # pydantic and YAML cost more than all other commands' start-up

    return parse(data, path)


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise UsageError(f"{path}: is not a regular file", hint=f"only a file may be called {FILE_NAME}")
            _refuse_planted(path, facts)
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})", hint="make it readable, or remove it") from error
    if len(data) > MAX_BYTES:
        raise UsageError(
            f"{path}: is larger than 1 MiB", hint="a configuration is a few lines; is this the right file?"
        )
    return data


def _refuse_planted(path: Path, facts: os.stat_result) -> None:
    """A file in /tmp that somebody else wrote would decide which commands we are told to run."""
    anyone_writes = os.stat(path.parent).st_mode & stat.S_IWOTH
    if anyone_writes and facts.st_uid not in (0, os.getuid()):
        raise RefusedError(
            f"{path}: belongs to another user, in a folder that anyone can write to",
            hint="work in a folder of your own, or put a ckptkit.yaml of your own nearer",
        )
