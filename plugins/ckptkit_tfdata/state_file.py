"""``tfdata.json``: what is written beside a bundle so that a changed dataset is found before the bundle is read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from ckptkit.backend import Captured
from ckptkit.errors import DamagedError, NewerFormatError
from ckptkit.formats import strict_json
from ckptkit_tfdata.graph import Op
from ckptkit_tfdata.records import Record

FILE_NAME = "tfdata.json"
FORMAT_VERSION = 2
"""Version 1 had a field ``exactness`` (grade and one reason) for ``captured``."""
_FIELDS = {
    "format_version": int,
    "tensorflow": str,
    "batches_seen": int,
    "element_spec": str,
    "fingerprint": str,
    "ops": list,
    "record_files": list,
    "hazards": list,
    "captured": dict,
}


@dataclass(frozen=True, slots=True)
class StateFile:
    """The contents of ``tfdata.json``.

    Attributes:
        tensorflow: version that wrote the bundle; graph fingerprints compare exactly within one version only.
        batches_seen: count of batches that were taken before the save.
        element_spec: structure of a batch, as text.
        fingerprint: of the dataset graph.
        ops: summary of the graph, so that a change can be named.
        record_files: the files that the dataset reads, with their digests.
        hazards: what may make a resume differ.
        captured: how much of the pipeline's state is in the files.
        settings: what the program says that the dataset is made from, if it says so.
        format_version: of this file.
    """

    tensorflow: str
    batches_seen: int
    element_spec: str
    fingerprint: str
    ops: Sequence[Op]
    record_files: Sequence[Record] = ()
    hazards: Sequence[str] = ()
    captured: Captured = field(default_factory=Captured)
    settings: Mapping[str, Any] | None = None
    format_version: int = FORMAT_VERSION

    def write(self, directory: Path, create: Callable[[Path], BufferedIOBase]) -> None:
        """Write the file, which ``create`` opens, into the item's folder."""
        with create(directory / FILE_NAME) as stream:
            stream.write(strict_json.dumps(asdict(self), indent=1) + b"\n")

    @classmethod
    def read(cls, directory: Path) -> "StateFile | None":
        """Return the state file of a folder, or None where there is none.

        Raises:
            DamagedError: it is not what this backend writes.
            NewerFormatError: a newer ckptkit wrote it.
        """
        path = directory / FILE_NAME
        if not path.is_file():
            return None
        try:
            value = strict_json.load(path)
        except OSError as error:
            raise DamagedError(f"{FILE_NAME}: cannot be read ({error.strerror})") from error
        return _parse(value)


def _parse(value: Any) -> StateFile:
    if not isinstance(value, dict) or not isinstance(value.get("format_version"), int):
        raise DamagedError(f"{FILE_NAME}: holds no format_version")
    if value["format_version"] > FORMAT_VERSION:
        raise NewerFormatError(f"{FILE_NAME}: format_version {value['format_version']} is newer than {FORMAT_VERSION}")
    if value["format_version"] == 1 and isinstance(old := value.get("exactness"), dict):
        value = value | {"captured": {"grade": old.get("grade"), "reasons": old.get("reason")}}
    for name, kind in _FIELDS.items():
        if not isinstance(value.get(name), kind) or isinstance(value[name], bool):
            raise DamagedError(f"{FILE_NAME}: {name} is missing or not a {kind.__name__}")
    if value["batches_seen"] < 0 or not all(isinstance(h, str) for h in value["hazards"]):
        raise DamagedError(f"{FILE_NAME}: batches_seen or hazards is invalid")
    settings = value.get("settings")
    if settings is not None and not isinstance(settings, dict):
        raise DamagedError(f"{FILE_NAME}: settings is not a table")
    ops = [_row(row, {"name": str, "parameters": dict}, "ops") for row in value["ops"]]
    files = [_row(row, {"path": str, "size": int, "digest": str}, "record_files") for row in value["record_files"]]
    if not all(isinstance(v, str) for row in ops for v in row["parameters"].values()):
        raise DamagedError(f"{FILE_NAME}: ops holds a parameter that is not text")
    parsed = {
        "ops": [Op(**row) for row in ops],
        "record_files": [Record(**row) for row in files],
        "captured": _captured(value["captured"]),
        "settings": settings,
    }
    return StateFile(**{**{name: value[name] for name in _FIELDS}, **parsed})


def _captured(value: Mapping[str, Any]) -> Captured:
    try:
        return Captured.read(**value)
    except (TypeError, ValueError) as error:
        raise DamagedError(f"{FILE_NAME}: captured is invalid") from error


def _row(row: Any, kinds: Mapping[str, type], name: str) -> dict[str, Any]:
    if not isinstance(row, dict) or row.keys() != kinds.keys():
        raise DamagedError(f"{FILE_NAME}: {name} holds an invalid row")
    if not all(isinstance(row[k], kind) for k, kind in kinds.items()):
        raise DamagedError(f"{FILE_NAME}: {name} holds an invalid row")
    return row
