"""How many cores this process may use: those it may run on, and no more than its control groups may spend.

Source: https://docs.kernel.org/admin-guide/cgroup-v2.html (``cpu.max``) and, of version 1, the kernel's sched-bwc.
"""

import functools
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_MEMBERSHIPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def available(memberships: Path = _MEMBERSHIPS, groups: Path = _GROUPS) -> int:
    """Return how many cores this process can keep busy, at least one.

    Args:
        memberships: the file that names the control groups of this process.
        groups: where control groups are mounted.
    """
    return max(1, min(allowed(), _quota(memberships, groups)))


def allowed() -> int:
    """Return how many cores this process may run on; macOS cannot tell, and has no control groups."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.lru_cache(maxsize=8)
def _quota(memberships: Path, groups: Path) -> int:
    """Return the least limit, looked up once: control groups hardly change, and there are a dozen files to ask."""
    return min(map(math.ceil, _quotas(memberships, groups)), default=sys.maxsize)


def _quotas(memberships: Path, groups: Path) -> Iterator[float]:
    """Yield the limit, in cores, of each control group around this process that has one."""
    for line in _text(memberships).splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / controllers if controllers else groups
        folder = root / group.lstrip("/")
        for around in (folder, *folder.parents):
            words = _text(around / "cpu.max").split() or [
                _text(around / "cpu.cfs_quota_us").strip(),
                _text(around / "cpu.cfs_period_us").strip(),
            ]
            if words[0].isdigit() and words[1].isdigit():  # else "max", or -1, or nothing
                yield int(words[0]) / int(words[1])
            if around == root:
                break


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
