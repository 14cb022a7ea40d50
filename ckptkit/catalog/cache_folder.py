"""Where ledger and index lie: in the user's cache folder, unless that is on a network or nobody wants them."""

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from ckptkit.storage import mounts

FOLDER = "CKPTKIT_CACHE"
"""Environment variable: the folder to use; whoever names one answers for it, also on a network."""
NONE = "CKPTKIT_NO_CACHE"
"""Environment variable: anything but nothing means that no ledger and no index is read or written."""
NAME = "ledger-1.sqlite3"
"""Of the ledger, with the version of its table: another ckptkit of the same user may write another one."""
INDEX = "index-1.sqlite3"
"""Of the index, likewise."""


def index_file() -> Path | None:
    """Return the file of the index, or None: there is to be none."""
    ledger = ledger_file()
    return None if ledger is None else ledger.with_name(INDEX)


def ledger_file(environment: Mapping[str, str] | None = None, mount_table: str | None = None) -> Path | None:
    """Return the file of the ledger, or None: there is to be none.

    Args:
        environment: of the process when left out.
        mount_table: of this machine when left out.
    """
    variables = os.environ if environment is None else environment
    if variables.get(NONE):
        return None
    if given := variables.get(FOLDER):
        return Path(given) / NAME
    import platformdirs

    try:
        folder = platformdirs.user_cache_path("ckptkit", appauthor=False)
        kind = _kind_of(folder) if mount_table is None else mounts.kind_of(folder, mount_table)
    except (OSError, RuntimeError, KeyError):  # no home folder, or a loop of links in it
        return None
    return None if mounts.is_network(kind) else folder / NAME


@lru_cache(maxsize=8)
def _kind_of(folder: Path) -> str | None:
    """Return the type of the file system; asked once, as a ledger is opened for every checkpoint."""
    return mounts.kind_of(folder, mounts.table())
