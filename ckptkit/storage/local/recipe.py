"""The recipe of a checkpoint: which of its files lie there in parts, and of which pieces each is made.

A piece is a range of a blob: a file in ``.parts`` that other checkpoints may have, too, as a hard link. So each folder
has all that it needs, and whoever removes one takes nothing from another. Nobody believes a recipe: what is put
together by it is digested, as any file is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckptkit.digest import open_regular
from ckptkit.errors import DamagedError
from ckptkit.formats import strict_json

FOLDER = ".parts"
NAME = f"{FOLDER}/recipe.json"
_LARGEST = 1 << 26

Piece = tuple[str, int, int]
"""Name of the blob, where in it the piece begins, and how many bytes it has."""


@dataclass(frozen=True, slots=True)
class Parted:
    """A file in parts.

    Attributes:
        size: of the file, in bytes.
        pieces: what it is made of, from its beginning to its end.
    """

    size: int
    pieces: Sequence[Piece]


Recipe = Mapping[str, Parted]
"""By path, as the manifest has it."""


def encoded(recipe: Recipe) -> bytes:
    """Return the content of its file."""
    files = {path: {"size": one.size, "pieces": [list(p) for p in one.pieces]} for path, one in recipe.items()}
    return strict_json.dumps({"files": files})


def of(folder: Path) -> Recipe:
    """Return the recipe of a checkpoint; empty where it has none.

    Raises:
        DamagedError: it cannot be understood.
        OSError: it cannot be read.
    """
    try:
        with open(open_regular(folder / NAME), "rb") as stream:
            data = stream.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    try:
        files = strict_json.loads(data, max_bytes=_LARGEST)["files"]
        return {path: Parted(one["size"], [_piece(*piece) for piece in one["pieces"]]) for path, one in files.items()}
    except (KeyError, TypeError, AttributeError, ValueError, strict_json.StrictJsonError) as error:
        raise DamagedError(f"{NAME}: is not a recipe") from error


def _piece(blob: Any, start: Any, length: Any) -> Piece:
    counts = type(start) is int and type(length) is int and start >= 0 and length > 0
    if not isinstance(blob, str) or "/" in blob or blob in ("", ".", "..") or not counts:
        raise ValueError("not a piece")
    return blob, start, length
