"""The ``config.json`` of a ``.keras`` file: layers by name, and functions by value.

Source: keras/src/saving/serialization_lib.py (``deserialize_keras_object``).
"""

import json
from collections.abc import Iterator
from typing import Any

from ckptkit.formats.pickle_machine import Found, Global
from ckptkit.formats.pickles import judge
from ckptkit.formats.sources import Source
from ckptkit.problem import Problem

NAME = "config.json"
_MOST = 64 << 20
_LAMBDA = "__lambda__"
_FETCHES = ("get_file", "enable_unsafe_deserialization")


def shows_keras_config(source: Source) -> bool:
    """Return whether this is the member of an archive that Keras builds a model from."""
    if not source.depth or source.name != NAME or source.length > _MOST:
        return False
    return b'"class_name"' in source.start(_MOST)


def check_keras_config(source: Source) -> Iterator[Problem]:
    """Yield what building the model would run."""
    try:
        waiting: list[Any] = [json.loads(source.start(source.length))]
    except (ValueError, RecursionError):
        return
    found, code = Found(), False
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            code = code or value.get("class_name") == _LAMBDA
            module, name = value.get("module"), value.get("class_name")
            if isinstance(module, str) and isinstance(name, str) and not _is_keras(module, name):
                found.globals[Global(module, name)] = found.called[Global(module, name)] = True
    if code:
        message = "contains code of its own (a Lambda layer): Keras runs it unless safe_mode is on"
        yield source.problem("pickle-contains-code", message, "unsafe")
    yield from judge(found, file=source.file, where=source.where)


def _is_keras(module: str, name: str) -> bool:
    if module == "builtins":
        return name == "function"
    return module.partition(".")[0] == "keras" and name not in _FETCHES
