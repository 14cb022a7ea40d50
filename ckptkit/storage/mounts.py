"""Which kind of file system a path is on, and what its time stamps are worth, by the mount table of Linux."""

import re
from pathlib import Path

TABLE = Path("/proc/self/mounts")

_NETWORK = frozenset(
    {
        "9p",
        "acfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "pvfs2",
        "smb2",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
        "wekafs",
    }
)
_ON_THIS_MACHINE = frozenset({"fuse.fuse-overlayfs", "fuse.mergerfs", "fuseblk", "fusectl"})
_WITH_TIME_OF_CHANGE = frozenset(
    {
        "bcachefs",
        "beegfs",
        "btrfs",
        "ceph",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "gfs2",
        "gpfs",
        "jfs",
        "lustre",
        "nfs",
        "nfs4",
        "nilfs2",
        "ocfs2",
        "overlay",
        "ramfs",
        "reiserfs",
        "tmpfs",
        "xfs",
        "zfs",
    }
)
_ESCAPED = re.compile(r"\\([0-7]{3})")


def table() -> str:
    """Return the mount table, or nothing where there is none."""
    try:
        return TABLE.read_text(errors="surrogateescape")
    except OSError:
        return ""


def kind_of(path: Path, mounts: str) -> str | None:
    """Return the type of the file system that a path is on, or would be once it is created; None: nobody can tell.

    Args:
        path: anything; links in it are followed.
        mounts: a mount table (``/proc/self/mounts``).
    """
    place = path.resolve().parts
    found: tuple[int, str] | None = None
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(_ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[1])).parts
        # The later of two on one point is the one on top.
        if place[: len(point)] == point and (found is None or len(point) >= found[0]):
            found = len(point), fields[2]
    return found[1] if found else None


def is_network(kind: str | None) -> bool:
    """Return whether other machines may write there too; of FUSE this is taken for granted unless it is known."""
    return kind is not None and kind not in _ON_THIS_MACHINE and (kind in _NETWORK or kind.startswith("fuse"))


def keeps_time_of_change(kind: str | None) -> bool:
    """Return whether a file has a time of its last change there that nobody can set back.

    FAT has none, and what FUSE, SMB and 9P say of it depends on what is behind them.
    """
    return kind in _WITH_TIME_OF_CHANGE
