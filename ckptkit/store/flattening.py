"""Put the files of all items right into a checkpoint's folder, where a trainer's layout wants them there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ckptkit.errors import UsageError
from ckptkit.manifest.names import UNLISTED, is_flat


def flattened(entries: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, dict[str, Any]]:
    """Move the files of a staged checkpoint up, out of the folders of their items.

    Args:
        entries: the ``items`` field of the manifest, as ``writing.write`` returns it.
        folder: the staging folder.

    Returns:
        The same with the new paths.

    Raises:
        UsageError: an item has folders of its own, or two items have files of one name.
    """
    owners = {name.casefold(): f"the folder of item {name!r}" for name in entries}
    result = {}
    for name, entry in entries.items():
        files = [{**file, "path": file["path"].removeprefix(f"{name}/")} for file in entry["files"]]
        for path in (file["path"] for file in files):
            if not is_flat(path) or path in UNLISTED:
                raise _refused(f"item {name!r} has the file {path!r}, which cannot lie right in the checkpoint")
            mine = f"a file of item {name!r}"
            if (other := owners.setdefault(path.casefold(), mine)) != mine:
                raise _refused(f"the file {path!r} of item {name!r} would lie where {other} does")
        result[name] = {**entry, "files": files}
        if (path := entry.get("path")) is not None:
            result[name]["path"] = "." if path == name else path.removeprefix(f"{name}/")
    for name, entry in result.items():
        for file in entry["files"]:
            (folder / name / file["path"]).rename(folder / file["path"])
        (folder / name).rmdir()
    return result


def _refused(message: str) -> UsageError:
    return UsageError(f"{message}; nothing was committed", hint="save without flat: each item in its own folder")
