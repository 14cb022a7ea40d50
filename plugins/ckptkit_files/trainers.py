"""What trainers need to continue from a single file of theirs, if it can be looked into: the table of ``files``.

Source: dump_checkpoint of lightning/pytorch/trainer/connectors/checkpoint_connector.py, keras/src/saving/saving_lib.py.
"""

import json
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from ckptkit.errors import DamagedError
from ckptkit.formats.torch_keys import top_keys
from ckptkit.formats.zips import read_member
from ckptkit.pieces import Piece, Trainer, trainer_of

_MOST_JSON = 64 << 20
_BLOCK = 1 << 20
_MOST_BLOCKS = 1 << 10
_TORCH = (".ckpt", ".pt", ".pth", ".bin")

LIGHTNING = Trainer(
    "Lightning, .ckpt",
    ("pytorch-lightning_version",),
    (
        Piece("model", ("state_dict",), "fit(ckpt_path=) fails", weights=True),
        Piece("optimizers", ("optimizer_states",), "fit(ckpt_path=) fails"),
        Piece("schedulers", ("lr_schedulers",), "fit(ckpt_path=) fails"),
        Piece("loops", ("loops",), "epochs and batches are counted from 0", weights=True),
        Piece("callbacks", ("callbacks",), "ModelCheckpoint and EarlyStopping start over"),
        Piece("random generators", (), "Lightning saves none"),
        Piece("data position within an epoch", (), "a resume in mid-epoch begins the epoch's data again"),
    ),
)

KERAS = Trainer(
    "Keras, .keras and .weights.h5",
    ("model.weights.h5",),
    (
        Piece("weights", ("model.weights.h5",), "nothing can be resumed", weights=True),
        Piece("optimizer", ("optimizer",), "fit() begins with a new one", carrier="optimizer/vars in it"),
        Piece("epoch", (), "fit() counts from 0 unless it is told initial_epoch"),
        Piece("callbacks", (), "EarlyStopping and ReduceLROnPlateau start over"),
        Piece("random generators", (), "dropout and shuffling draw different numbers"),
        Piece("data position", (), "fit() begins an epoch"),
    ),
)

TORCH = Trainer(
    "any other file of torch.save",
    ("*",),
    (
        Piece(
            "model",
            ("*model*", "state_dict", "*net*", "*policy*"),
            "nothing can be resumed",
            weights=True,
            carrier="a key",
        ),
        Piece("optimizer", ("*optim*",), "it starts over", carrier="a key with optim"),
        Piece("scheduler", ("*sched*",), "a learning-rate schedule starts over", carrier="a key with sched"),
        Piece(
            "random generators",
            ("*rng*", "*random*"),
            "different random numbers are drawn",
            carrier="a key with rng or random",
        ),
        Piece("data position", (), "no key is known to hold it; save it as an item of its own"),
    ),
)

TRAINERS = (LIGHTNING, KERAS, TORCH)


def look(directory: Path, files: Sequence[str]) -> tuple[Trainer, list[str]] | None:
    """Return who wrote an item's only file and what is in it, or None if that is not known."""
    if len(files) != 1:
        return None
    path = directory / files[0]
    try:
        there = _inside(path)
    except (DamagedError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return None  # the check says it
    trainer = trainer_of(TRAINERS, there)
    return None if trainer is None else (trainer, there)


def _inside(path: Path) -> list[str]:
    if path.name.endswith(_TORCH):
        return sorted(top_keys(path))
    if path.name.endswith(".keras") and zipfile.is_zipfile(path):
        return _in_keras(path)
    if path.name.endswith(".weights.h5"):
        with path.open("rb") as stream:
            return ["model.weights.h5", *(["optimizer"] if _names_an_optimizer(stream.read) else [])]
    return []


def _in_keras(path: Path) -> list[str]:
    """Return the members of a ``.keras`` file, and ``optimizer`` if it was compiled and its variables are there."""
    with zipfile.ZipFile(path) as archive:
        there = archive.namelist()
        saved = "model.weights.h5" in there
        if saved:
            with archive.open("model.weights.h5") as stream:
                saved = _names_an_optimizer(stream.read)
    try:
        compiled = bool(json.loads(read_member(path, "config.json", max_bytes=_MOST_JSON)).get("compile_config"))
    except (ValueError, RecursionError, AttributeError, DamagedError):
        compiled = False
    return [*there, *(["optimizer"] if saved and compiled else [])]


def _names_an_optimizer(read: Callable[[int], bytes]) -> bool:
    """Return whether an HDF5 file has a group of that name: its links are text that ends in a zero byte."""
    before = b""
    for _ in range(_MOST_BLOCKS):
        block = read(_BLOCK)
        if b"\0optimizer\0" in before + block:
            return True
        if not block:
            break
        before = block[-16:]
    return False
