"""The files of one checkpoint: ``ep000050.zip``, its metadata, and what the zip does not hold, under flat names."""

import re
from pathlib import Path

from ckptkit.formats import strict_json
from ckptkit.formats.strict_json import StrictJsonError

MODEL = "model.zip"
"""Name of the zip in a folder of the SB3 backend; the other files keep their names, after the stem."""
METADATA = "metadata.json"
_STEM = re.compile(r"^ep(\d{6,12})$")


def stem_of(episode: int) -> str:
    """Return ``ep000050``."""
    return f"ep{episode:06d}"


def episode_in(path: Path) -> int | None:
    """Return the episode in the name of a zip, or None when the name is another."""
    found = _STEM.match(path.stem)
    return int(found[1]) if found else None


def flat_name(stem: str, name: str) -> str:
    """Return what a file of the backend is called beside others' (``state.json``: ``ep000050_state.json``)."""
    return f"{stem}.zip" if name == MODEL else f"{stem}_{name}"


def backend_files(zip_file: Path) -> dict[str, Path]:
    """Return the files of a checkpoint that the backend wrote, by the names that it gave them."""
    found = {MODEL: zip_file}
    for path in sorted(zip_file.parent.glob(f"{zip_file.stem}_*")):
        name = path.name.removeprefix(f"{zip_file.stem}_")
        if name != METADATA and path.suffix in (".json", ".npz"):
            found[name] = path
    return found


def read_metadata(zip_file: Path) -> dict[str, object]:
    """Return the metadata beside a zip.

    Raises:
        FileNotFoundError: there is none.
        StrictJsonError: it is no JSON table.
    """
    path = zip_file.with_name(flat_name(zip_file.stem, METADATA))
    content = strict_json.load(path)
    if not isinstance(content, dict):
        raise StrictJsonError(f"{path.name}: is no table")
    return content
