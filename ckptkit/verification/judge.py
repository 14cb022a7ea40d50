"""Which code judges checkpoints here: what another one found good may be found bad by this one, and the reverse."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ckptkit import extensions
from ckptkit.digest import digest_bytes
from ckptkit.registry import GROUP


@cache
def signature() -> str:
    """Return what tells this installation's checks from those of any other: Python, ckptkit, and all backends.

    Versions alone do not: who installs from a working copy has the same version before and after a ``git pull``. So
    the source files count, by name, size and time; nothing is imported. Empty where they cannot be looked at: then
    nobody can tell.
    """
    try:
        parts = [f"python {sys.version_info[:3]}", *_sources(Path(__file__).parents[1])]
        for one in (one for brought in extensions.installed(GROUP).values() for one in brought):
            parts.append(f"{one.name} {one.value} {one.distribution}")
            parts += _of_package(one.value.partition(":")[0].partition(".")[0])
    except OSError:
        return ""
    return digest_bytes("\n".join(parts).encode("utf-8", "surrogateescape")).partition(":")[2][:16]


@cache
def _of_package(name: str) -> tuple[str, ...]:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return ()
    if spec is None:
        return ()
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if folders:
        return tuple(line for folder in folders for line in _sources(folder))
    return (_line(name, os.stat(spec.origin)),) if spec.origin and os.path.isfile(spec.origin) else ()


def _sources(folder: Path) -> Iterator[str]:
    for path, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.endswith((".py", ".so")):
                yield _line(name, os.stat(os.path.join(path, name)))


def _line(name: str, found: os.stat_result) -> str:
    return f"{name} {found.st_size} {found.st_mtime_ns}"
