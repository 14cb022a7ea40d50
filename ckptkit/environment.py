"""What the numbers of a run may depend on: versions, threads, CPU capability and the commit of the training code."""

import functools
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ckptkit import cores

_PACKAGES = {
    "ckptkit": "ckptkit",
    "gymnasium": "gymnasium",
    "numpy": "numpy",
    "safetensors": "safetensors",
    "stable_baselines3": "stable-baselines3",
    "tensorflow": "tensorflow",
    "torch": "torch",
    "transformers": "transformers",
}


def capture(directory: Path | None = None, brought: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the ``environment`` field of a manifest, as plain values: what ``numeric`` tells, and the code's commit.

    Nothing is imported for it: only packages that this process has loaded can have influenced the numbers. No
    environment
    variable, host or user name is read.

    Args:
        directory: folder of the training code (its git commit is noted); the current folder when left out.
        brought: versions of the distributions that bring the backends, by name.
    """
    return {**numeric(brought), "git": _git(directory or Path.cwd())}


def numeric(brought: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the part that can be compared with another environment: everything but the commit."""
    torch = sys.modules.get("torch")
    return {
        "python": platform.python_version(),
        "platform": f"{sys.platform}-{platform.machine()}",
        "packages": {**(brought or {}), **_versions()},
        "threads": int(torch.get_num_threads()) if torch else cores.allowed(),
        "cpu_capability": str(torch.backends.cpu.get_cpu_capability()) if torch else None,
    }


def is_known(package: str) -> bool:
    """Return whether a package is installed here, or is one whose version is noted only for its effect on numbers."""
    from importlib import metadata  # only what is missing asks for it, and it takes long to import

    return package in _PACKAGES.values() or bool(list(metadata.distributions(name=package)))


def _versions() -> dict[str, str]:
    versions = {}
    for module, name in _PACKAGES.items():
        version = getattr(sys.modules.get(module), "__version__", None)
        if isinstance(version, str) and version:
            versions[name] = version
    return versions


@functools.lru_cache(maxsize=8)
def _git(directory: Path) -> dict[str, Any] | None:
    # Asked once: this process runs what it has loaded, whatever is committed or edited while it does.
    command = ["git", "-C", str(directory), "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return None
    commit, dirty = None, False
    for line in done.stdout.splitlines():
        if line.startswith("# branch.oid "):
            commit = line.removeprefix("# branch.oid ")
        elif not line.startswith("#"):
            dirty = True
    if commit is None or commit == "(initial)":
        return None
    return {"commit": commit, "dirty": dirty}
