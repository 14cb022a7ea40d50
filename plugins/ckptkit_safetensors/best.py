"""The best checkpoint that a Trainer's state names: a resumed run of older transformers crashes if it is gone.

Source: transformers/trainer.py, ``_load_best_model`` at the end of ``train`` (huggingface/transformers#48315).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ckptkit.backend import CheckContext
from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.problem import Problem

STATE = "trainer_state.json"
_FIELD = "best_model_checkpoint"
_PLACE = "best_model_checkpoint_at"
"""Key of the metadata: an absolute path."""


def look(directory: Path, context: CheckContext) -> tuple[dict[str, str], list[str]]:
    """Return, as metadata, where the best checkpoint is; or as hazard that it is not there.

    A relative name was relative to where the Trainer ran: it is looked for from here and from each folder above the
    source.

    Raises:
        DamagedError: the Trainer's state cannot be read.
    """
    name = _named(directory / STATE) if STATE in context.files else None
    if name is None:
        return {}, []
    above = [] if context.source is None else context.source.resolve().parents
    for start in (Path.cwd(), *above):
        if _is_folder(start / name):  # an absolute name is itself, from wherever
            return {_PLACE: str(start / name)}, []
    return {}, [f"{STATE} {_line(name)}"]


def problems(metadata: Mapping[str, Any], files: Sequence[str]) -> Iterator[Problem]:
    """Yield a warning where the best checkpoint was there when the files were adopted, and is gone now."""
    place = metadata.get(_PLACE)
    if STATE in files and isinstance(place, str) and not _is_folder(Path(place)):
        yield Problem("best-checkpoint-missing", _line(place), file=STATE, severity="warning")


def _line(name: str) -> str:
    return (
        f"names the best checkpoint {escaped(name)!r}, which does not exist: older versions of transformers crash at "
        "the end of the resumed run when they load it, newer ones forget it"
    )


def _is_folder(place: Path) -> bool:
    try:
        return place.is_dir()
    except (OSError, ValueError):
        return False


def _named(path: Path) -> str | None:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedError(f"{path.name}: cannot be read as JSON") from error
    name = content.get(_FIELD) if isinstance(content, dict) else None
    return name if isinstance(name, str) and name and "\0" not in name else None
