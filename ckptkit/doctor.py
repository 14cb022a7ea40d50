"""Examines an installation and a store, and says what is well, what is not, and what to do; changes nothing.

Example:
    >>> from ckptkit import doctor
    >>> [finding for finding in doctor.examine("checkpoints") if finding.state == "problem"]
    []
"""

import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from ckptkit.errors import CkptkitError
from ckptkit.health import Finding as Finding

if TYPE_CHECKING:
    from ckptkit.config import Config
    from ckptkit.storage import Storage

_NEEDED = ("blake3", "fsspec", "platformdirs", "pydantic", "PyYAML", "rich", "typer")
_OF_USE = (
    "numpy", "safetensors", "torch", "tensorflow", "stable-baselines3", "gymnasium", "transformers", "accelerate",
    "lightning", "keras", "pyarrow", "google-crc32c",
)  # fmt: skip
_AT_LEAST = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+)")


def examine(store: "str | Path | Storage | None" = None, *, folder: Path | None = None) -> Iterator[Finding]:
    """Yield all findings; whatever is wrong is yielded, never raised.

    Args:
        store: a path, a URL or a ``Storage``; None: no store is looked at.
        folder: where the search for ``ckptkit.yaml`` begins; the current folder when left out.
    """
    yield from installation()
    yield from backends()
    yield configuration(folder or Path.cwd())[1]
    yield cache()
    if store is not None:
        yield from of_store(store)


def installation() -> Iterator[Finding]:
    """Yield versions, and whether what ckptkit needs is there and new enough; nothing is imported."""
    import ckptkit

    where = Path(ckptkit.__file__).parent
    system = f"{platform.system()} {platform.machine()}"
    told = f"ckptkit {ckptkit.__version__} in {where}, Python {platform.python_version()}, {system}"
    details = {"ckptkit": ckptkit.__version__, "python": platform.python_version(), "executable": sys.executable}
    yield Finding("installation", "version", "ok", told, details=details)
    there = {name: version for name in (*_NEEDED, *_OF_USE) if (version := _version(name)) is not None}
    if lacking := [name for name in _NEEDED if name not in there]:
        todo = f"pip install {' '.join(lacking)}"
        yield Finding("installation", "needed", "problem", f"{', '.join(lacking)} cannot be found", todo)
    if old := [f"{name} {there[name]} (needed: {least})" for name, least in _least() if _older(there.get(name), least)]:
        yield Finding("installation", "needed", "warning", f"too old: {', '.join(old)}", "upgrade them")
    for name, words in (("needed", _NEEDED), ("frameworks", _OF_USE)):
        found = {word: there[word] for word in words if word in there}
        said = ", ".join(f"{word} {version}" for word, version in found.items()) or "none of those known here"
        yield Finding("installation", name, "ok", said, details=found)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _least() -> list[tuple[str, str]]:
    try:
        said = metadata.requires("ckptkit") or []
    except metadata.PackageNotFoundError:
        return []
    bounds = [_AT_LEAST.fullmatch(text) for text in said]
    spelled = {name.lower(): name for name in _NEEDED}
    return [(spelled.get(m[1].lower(), m[1]), m[2]) for m in bounds if m is not None]


def _older(version: str | None, least: str) -> bool:
    if version is None:
        return False
    numbers = [tuple(int(part) for part in re.findall(r"\d+", text)[:3]) for text in (version, least)]
    return numbers[0] < numbers[1]


def backends() -> Iterator[Finding]:
    """Yield whether each installed backend can be used, and what to install where it cannot."""
    from ckptkit import registry

    for info in registry.backends().values():
        details = {"distribution": info.distribution, "missing": list(info.missing)}
        if info.backend is None:
            told = f"{info.distribution}: {info.problem}"
            yield Finding("backends", info.name, "problem", told, "repair or uninstall its package", details)
        elif info.missing:
            told = f"lists and verifies only: {', '.join(info.missing)} cannot be found"
            yield Finding("backends", info.name, "warning", told, info.remedy or "", details)
        else:
            yield Finding("backends", info.name, "ok", f"usable, from {info.distribution}", details=details)


def configuration(folder: Path) -> "tuple[Config | None, Finding]":
    """Return the configuration that applies in a folder, or None where it cannot be used, and what there is to say."""
    from ckptkit.config import FILE_NAME, find_config, load_config

    try:
        config = load_config(folder)
    except CkptkitError as error:
        details = {"path": str(find_config(folder))}
        return None, Finding("configuration", "file", "problem", error.message, error.hint, details)
    path = None if config.path is None else str(config.path)
    told = f"there is no {FILE_NAME} here or above" if path is None else f"{path} is in use"
    return config, Finding("configuration", "file", "ok", told, details={"path": path})


def cache() -> Finding:
    """Return where what verified before is known from, and how large that is."""
    from ckptkit.catalog.cache_folder import FOLDER, NONE, ledger_file

    path = ledger_file()
    if path is None:
        why = f"{NONE} is set" if os.environ.get(NONE) else "the home folder is missing or on a network"
        todo = "" if os.environ.get(NONE) else f"name a folder of this machine in {FOLDER}"
        told = f"there is none ({why}): what verified before is read again"
        return Finding("cache", "ledger", "ok" if not todo else "warning", told, todo, {"path": None, "bytes": 0})
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        size = 0
    except OSError as error:
        return Finding("cache", "ledger", "warning", f"{path}: {error.strerror}", f"name another folder in {FOLDER}")
    around = path.parent
    while not around.is_dir() and around != around.parent:
        around = around.parent
    details = {"path": str(path), "bytes": size}
    if not os.access(path if size else around, os.W_OK):
        todo = f"correct its owner and permissions, or name another folder in {FOLDER}"
        return Finding("cache", "ledger", "warning", f"{path} cannot be written: nothing is remembered", todo, details)
    return Finding("cache", "ledger", "ok", f"{path}, {size / 1e6:.1f} MB" if size else f"{path}, empty", "", details)


def of_store(store: "str | Path | Storage", *, cache: bool = True) -> Iterator[Finding]:
    """Yield how a store is; with ``cache=False`` nothing is known of what verified before."""
    from ckptkit.store import StoreReader

    try:
        reader = StoreReader(store, cache=cache)
    except CkptkitError as error:
        yield Finding("store", "there", "problem", error.message, error.hint)
        return
    yield from reader.examine()
