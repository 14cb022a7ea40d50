"""Weights in several files, and the index that names them all: what ``save_pretrained`` and ``save_model`` write."""

from collections.abc import Iterator

from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.trainers.interface import Seen
from ckptkit.trainers.state_files import json_object

INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


def shards_gone(seen: Seen, index: str) -> Iterator[str]:
    """Yield what keeps the weights that an index in the checkpoint names from being whole."""
    try:
        names = json_object(seen.folder / seen.found.name / index).get("weight_map")
    except DamagedError as error:
        yield error.message
        return
    shards = {name for name in names.values() if isinstance(name, str)} if isinstance(names, dict) else set()
    if not shards:
        yield f"{index} names no shards"
    gone = sorted(name for name in shards if not seen.listing.has(f"{seen.found.name}/{name}"))
    if gone:
        more = f", nor are {len(gone) - 1} more" if gone[1:] else ""
        yield f"{escaped(gone[0])}, which {index} names, is not there{more}"
