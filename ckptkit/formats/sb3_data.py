"""The ``data`` of a Stable-Baselines3 zip: JSON whose ``":serialized:"`` values are pickles, which SB3 loads.

Source: stable_baselines3/common/save_util.py (``json_to_data``, ``load_from_zip_file``).
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

from ckptkit.formats.escaped import escaped
from ckptkit.formats.pickles import check_pickle
from ckptkit.formats.sources import Source
from ckptkit.problem import Problem

NAME = "data"
_SERIALIZED = ":serialized:"
_MAX_PACKED = 64 << 20


def shows_sb3_data(source: Source) -> bool:
    """Return whether this is a member of the name that SB3 reads, with an object in JSON."""
    return source.depth > 0 and source.name == NAME and source.start(1_024).lstrip().startswith(b"{")


def check_sb3_data(source: Source) -> Iterator[Problem]:
    """Yield what its pickles would run, under whatever key they are; JSON that SB3 cannot read runs nothing."""
    if source.length > max(_MAX_PACKED, source.stored):
        yield source.problem("not-looked-into", "not looked into: compressed JSON of this size", "warning")
        return
    try:
        # Both values of a key that appears twice: whoever reads it takes one of them.
        pairs = json.loads(source.start(source.length).decode("utf-8"), object_pairs_hook=_Object)
    except (ValueError, RecursionError):
        return
    yield from _values(source, pairs, source.where)


class _Object(list[tuple[str, Any]]):
    """The pairs of an object."""


def _values(source: Source, value: Any, where: str) -> Iterator[Problem]:
    waiting = [(value, where)]
    while waiting:
        value, where = waiting.pop()
        if isinstance(value, _Object):
            for key, part in reversed(value):
                if key == _SERIALIZED and isinstance(part, str):
                    yield from _serialized(source, part, where)
                else:
                    waiting.append((part, f"{where}/{escaped(key, 60)}"))
        elif isinstance(value, list):
            waiting += [(part, f"{where}[{index}]") for index, part in reversed(list(enumerate(value)))]


def _serialized(source: Source, value: str, where: str) -> Iterator[Problem]:
    try:
        content = base64.b64decode(value, validate=True)
    except ValueError:
        yield Problem("sb3-data", f"{where}: the serialized value is not base64", source.file)
        try:
            content = base64.b64decode(value)  # SB3 passes over what is no base64 in between
        except ValueError:
            return
    yield from check_pickle(content, file=source.file, where=where)
