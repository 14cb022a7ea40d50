"""May a rehearsal start beside a live run? Only if it cannot take memory, a GPU or a rank's place from it."""

import os
import sys
from pathlib import Path

SHARE = 1.5
"""How many times this process's memory must be free: the rehearsal takes about as much, and some should be left."""
_CGROUP = Path("/sys/fs/cgroup")
_RANKS = ("WORLD_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")


def why_not() -> str | None:
    """Return why no rehearsal may start beside this process now, or None if one may."""
    for name in _RANKS:
        if os.environ.get(name, "1") not in ("", "0", "1"):
            return f"the run has {os.environ[name]} ranks ({name})"
    if _holds_accelerator():
        return "the run uses a GPU, and a rehearsal would take some of its memory"
    free, taken = available(), resident()
    if free is not None and taken is not None and free < SHARE * taken:
        return f"{free / 1e9:.1f} GB of memory are free, and the run itself takes {taken / 1e9:.1f} GB"
    return None


def _holds_accelerator() -> bool:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return True
    if not {"tensorflow", "jax", "cupy"} & set(sys.modules):
        return False
    try:
        opened = [os.readlink(entry.path) for entry in os.scandir("/proc/self/fd")]
    except OSError:
        return False
    return any(path.startswith(("/dev/nvidia", "/dev/kfd")) for path in opened)


def resident() -> int | None:
    """Return the bytes of memory that this process holds, or None if the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def available() -> int | None:
    """Return the bytes of memory that are free for new processes, within this container too, or None."""
    found = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
        limit = (_CGROUP / "memory.max").read_text().strip()
        if limit != "max":
            statistics = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
            used = int((_CGROUP / "memory.current").read_text()) - int(statistics.get("inactive_file", 0))
            found.append(int(limit) - used)
    except (OSError, ValueError, IndexError):
        pass  # another system, or no such container
    return min(found, default=None)
