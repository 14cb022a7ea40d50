"""How a distribution was installed, and hence which command installs what it lacks without touching anyone's project.

The package called ckptkit on PyPI is somebody else's, so pip is never given that name, but the clone that ckptkit was
installed from, or else the missing packages themselves.
"""

import json
import re
import shlex
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

NAME = "ckptkit"
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?\s*([^;]*?)\s*(?:;(.*))?", re.DOTALL)
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")


def remedy(extra: str) -> str:
    """Return the command that installs what one of ckptkit's extras needs, next to the running ckptkit."""
    clone = _clone(NAME)
    if clone is None:
        return _pip(sorted(set(_needs(NAME, {extra}))))
    folder, editable = clone
    constraints = folder / "constraints.txt"
    words = ["-c", str(constraints)] if constraints.is_file() else []
    return _pip([*words, *(["-e"] if editable else []), f"{folder}[{extra}]"])


def remedy_of(distribution: str) -> str | None:
    """Return the command that installs another distribution's missing requirements, or None if none are missing."""
    missing = [need for need in sorted(set(_needs(distribution, None))) if not _is_there(need)]
    return _pip(missing) if missing else None


def _pip(words: list[str]) -> str:
    return shlex.join(["pip", "install", *words])


def _clone(distribution: str) -> tuple[Path, bool] | None:
    """Return the folder that a distribution was installed from, and whether it is editable; see PEP 610."""
    try:
        said = json.loads(metadata.distribution(distribution).read_text("direct_url.json") or "{}")
        url, about = urlsplit(said["url"]), said["dir_info"]
        folder = Path(unquote(url.path))
    except (metadata.PackageNotFoundError, ValueError, KeyError, TypeError):
        return None
    return (folder, bool(about.get("editable"))) if (folder / "pyproject.toml").is_file() else None


def _needs(distribution: str, extras: set[str] | None) -> Iterator[str]:
    """Yield the requirements behind these extras of a distribution; for None, the plain ones and all extras."""
    try:
        said = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return
    for text in said:
        match = _REQUIREMENT.fullmatch(text)
        if match is None:
            continue
        name, inner, version, marker = match.groups()
        behind = _EXTRA.findall(marker or "")
        if extras is not None and extras.isdisjoint(behind):
            continue
        if name.lower() != NAME:
            yield name + (f"[{inner}]" if inner else "") + version
        elif inner:
            yield from _needs(NAME, {part.strip() for part in inner.split(",")})


def _is_there(requirement: str) -> bool:
    name = re.split(r"[\[<>=!~ ]", requirement, maxsplit=1)[0]
    return bool(list(metadata.distributions(name=name)))
