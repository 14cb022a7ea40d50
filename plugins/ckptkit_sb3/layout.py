"""The files of an item by name, and what can be read of them without SB3 or torch and without unpickling."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ckptkit.backend import Captured, CheckContext
from ckptkit.errors import BackendError, DamagedError
from ckptkit.formats import strict_json

MODEL = "model.zip"
STATE = "state.json"
ARRAYS = "state.npz"
REPLAY = "replay_buffer.npz"
ROLLOUT = "rollout_buffer.npz"
BESIDE = (STATE, ARRAYS, REPLAY, ROLLOUT)
"""What may lie beside the zip."""
COUNTERS = ("num_timesteps", "_episode_num", "_n_updates", "_n_calls")
MEMBERS = ("data", "policy.pth")
"""Members that an SB3 zip always has."""
METADATA = "_metadata.json"
"""End of the name of what trainers write beside ``ep000050.zip``."""
MAX_DATA = 64 << 20
MAX_DEPTH = 400
_EPISODE_NAME = re.compile(r"(?:^|[_-])ep(?:isode)?[_-]?(\d+)$")


class Flat:
    """An item whose files lie among those of others, under flat names: ``ep000050.zip``, ``ep000050_state.json``.

    ``/`` finds them by the names that they have in a folder of their own.
    """

    def __init__(self, folder: Path, zip_name: str) -> None:
        self.folder = folder
        self.stem = Path(zip_name).stem

    def __truediv__(self, name: str) -> Path:
        return self.folder / self.named(name)

    def named(self, name: str) -> str:
        """Return the flat name of a file."""
        return f"{self.stem}_{name}" if name in BESIDE else name


Place = Path | Flat
"""Where the files of an item are: something that ``/`` finds them in."""


def place(directory: Place, context: CheckContext) -> Place:
    """Return where the files of an item are: the folder, or flat in it where its zip has a name of its own."""
    if isinstance(directory, Flat):
        return directory
    name = zip_name(directory, context)
    flat = Flat(directory, name)
    return flat if name != MODEL and (flat / STATE).is_file() | bool(context.metadata.get("captured")) else directory


def zip_name(directory: Place, context: CheckContext) -> str:
    """Return the name of the item's zip: ``model.zip``, or the adopted one."""
    named = context.metadata.get("zip")
    if isinstance(named, str):
        return named
    folder = directory.folder if isinstance(directory, Flat) else directory
    files = context.files or sorted(p.name for p in folder.iterdir())
    found = [f for f in files if f.endswith(".zip")]
    return MODEL if MODEL in found or not found else found[0]


def all_data(path: Path) -> dict[str, Any]:
    """Return the values of a zip's ``data``; a pickled one is the table that holds the pickle, as text.

    Raises:
        DamagedError: there is no readable ``data`` in it.
    """
    from ckptkit.formats import zips

    data = parse_data(zips.read_member(path, "data", max_bytes=MAX_DATA))
    if not isinstance(data, dict):
        raise DamagedError(f"{path.name}: data is not a table")
    return data


def plain_data(path: Path) -> dict[str, Any]:
    """Return the values of a zip's ``data`` that are plain JSON; the pickled ones are left out.

    Raises:
        DamagedError: there is no readable ``data`` in it.
    """
    return {k: v for k, v in all_data(path).items() if not (isinstance(v, dict) and ":serialized:" in v)}


def read_state(directory: Place) -> dict[str, Any] | None:
    """Return ``state.json``, or None for an adopted zip; raises DamagedError when it cannot be read."""
    path = directory / STATE
    if not path.is_file():
        return None
    state = strict_json.load(path, max_depth=MAX_DEPTH)
    if not isinstance(state, dict):
        raise DamagedError(f"{STATE}: is not a table")
    return state


def captured_of(state: Mapping[str, Any]) -> Captured:
    """Return what a state file says is captured; format 1 had one reason, and the field ``exactness``.

    Raises:
        KeyError, TypeError, ValueError: it says nothing that can be understood.
    """
    if "captured" in state:
        return Captured.read(state["captured"]["grade"], state["captured"]["reasons"])
    return Captured.read(state["exactness"]["grade"], state["exactness"]["reason"])


def read_arrays(directory: Place) -> dict[str, Any]:
    """Return the arrays of ``state.npz`` by name, empty without the file."""
    path = directory / ARRAYS
    return read_npz(path) if path.is_file() else {}


def read_npz(path: Path) -> dict[str, Any]:
    """Return the arrays of an npz by name."""
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def parse_data(data: bytes) -> Any:
    """Return the JSON of a zip's ``data``, in which SB3 writes infinities as python does."""
    try:
        return strict_json.loads(data)
    except strict_json.StrictJsonError as error:
        if "literal" not in error.message:
            raise
    # SB3 writes infinities as python's json does; all other rules were or are checked: parse once more without them.
    return json.loads(data, object_pairs_hook=_no_duplicates)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({k for k, _ in pairs}) != len(pairs):
        raise DamagedError("has a key twice in one object")
    return dict(pairs)


def episode_mismatch(directory: Place, name: str) -> str | None:
    """Return what is wrong if the metadata beside ``ep000050.zip`` belongs to another episode."""
    stem = Path(name).stem
    named, noted = _EPISODE_NAME.search(stem), noted_beside(directory, f"{stem}{METADATA}").get("episode")
    if named is None or not is_count(noted) or int(named[1]) == noted:
        return None
    return f"{stem}{METADATA} says episode {noted}, the file name {int(named[1])}"


def noted_beside(directory: Place, name: str) -> dict[str, Any]:
    """Return the metadata that a trainer wrote beside its zip, empty without the file.

    Raises:
        BackendError: it is not a JSON table.
    """
    path = directory / name
    if not path.is_file():
        return {}
    try:
        found = strict_json.load(path)
    except DamagedError as error:
        raise BackendError(error.message, hint="repair or remove the metadata file") from error
    if not isinstance(found, dict):
        raise BackendError(f"{name}: is not a table", hint="repair or remove the metadata file")
    return found


def is_count(value: object) -> bool:
    """Return whether a JSON value is a count."""
    return type(value) is int and value >= 0
