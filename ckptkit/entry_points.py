"""Entry points, read from the files that installers write beside packages.

Python's ``importlib.metadata`` reads the same, but to import it takes longer than to read them all. What does not lie
in folders (zipped packages, eggs, what other finders bring) is left to it.
"""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.machinery import PathFinder

_HEAD = 1 << 16  # bytes of metadata: names and versions are at its beginning


EntryPoint = tuple[str, str, str, str]
"""Name, value (``package.module:attribute``), the distribution that brings it, and its version; empty if unknown."""


def of_group(group: str) -> list[EntryPoint]:
    """Return what is brought in a group, in no order."""
    texts = _texts()
    return list(_python_s(group) if texts is None else _in_files(group, texts))


def _in_files(group: str, texts: Sequence[tuple[str, str]]) -> Iterator[EntryPoint]:
    header = f"[{group}]"
    for folder, text in texts:
        inside = False
        for line in map(str.strip, text.splitlines() if header in text else ()):
            if line.startswith("[") and line.endswith("]"):
                inside = line == header
            elif inside and "=" in line and not line.startswith("#"):
                name, value = map(str.strip, line.split("=", 1))
                yield name, value, *_origin(folder)


@cache
def _texts() -> list[tuple[str, str]] | None:
    """Return the folder of each distribution that brings any, and their text; None where not all lie in folders."""
    if any(hasattr(finder, "find_distributions") and finder is not PathFinder for finder in sys.meta_path):
        return None
    found: dict[str, tuple[str, str]] = {}
    for path in sys.path:
        try:
            names = os.listdir(path or ".")
        except NotADirectoryError:
            return None
        except OSError:
            continue
        for name in names:
            stem, _, kind = name.lower().rpartition(".")
            if name == "EGG-INFO":
                return None
            if kind in ("dist-info", "egg-info"):  # of two of a name the first counts, as it is imported
                folder = f"{path or '.'}/{name}"
                found.setdefault(re.sub(r"[-_.]+", "_", stem.partition("-")[0]), (folder, _read(folder)))
    return [one for one in found.values() if one[1]]


def _read(folder: str) -> str:
    try:
        with open(f"{folder}/entry_points.txt", encoding="utf-8") as stream:
            return stream.read()
    except (OSError, UnicodeError):
        return ""


@cache
def _origin(folder: str) -> tuple[str, str]:
    for name in ("METADATA", "PKG-INFO"):
        try:
            with open(f"{folder}/{name}", encoding="utf-8", errors="replace") as stream:
                head = stream.read(_HEAD).partition("\n\n")[0]
        except OSError:
            continue
        said = {key: re.search(rf"^{key}:[ \t]*(\S.*)$", head, re.MULTILINE) for key in ("Name", "Version")}
        package, version = (match[1].strip() if match else "" for match in said.values())
        return package, version
    return "", ""


def _python_s(group: str) -> Iterator[EntryPoint]:
    from importlib.metadata import entry_points

    for entry in entry_points(group=group):
        try:
            package, version = (entry.dist.name, entry.dist.version) if entry.dist else ("", "")
        except Exception:  # a distribution without readable metadata: what it brings may be fine all the same
            package, version = "", ""
        yield entry.name, entry.value, package, version
