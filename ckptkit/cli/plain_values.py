"""Values that need no conversion are taken as they are: what typer converts with takes longer to import than it itself.

typer looks at every value through pydantic, also at words that stay words and at options that were not given. What is
not plain, and whatever is wrong, is left to typer, and so are its messages. Only an empty word is refused here: it is a
variable that was not set, and as a path it would be the current folder.
"""

import os
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from ckptkit.errors import UsageError

_NOT_PLAIN = object()
_FOLDERS = ("PATH", "DIR[,SIZE]")
_NUMBER = re.compile(r"[0-9]{1,18}")


def taken_plainly(parameters: Iterable[Any]) -> list[Any]:
    """Return the same parameters of a command; they convert only what has to be."""
    found = list(parameters)
    for parameter in found:
        if "process_value" not in vars(parameter):
            parameter.process_value = partial(_processed, parameter, parameter.process_value)
    return found


def _processed(parameter: Any, convert: Any, context: Any, value: Any) -> Any:
    _require_words(parameter, value)
    plain = _NOT_PLAIN if parameter.required and not value else _plain_of(parameter, value)
    if plain is _NOT_PLAIN:
        return convert(context, value)
    return plain if parameter.callback is None else parameter.callback(context, parameter, plain)


def _require_words(parameter: Any, value: Any) -> None:
    """Raise UsageError for an empty word or path, unless it is what stands there when nothing is given."""
    given = value if isinstance(value, (list, tuple)) else (value,)
    if "" not in given or parameter.default == "":
        return
    annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    kinds = {annotation, *get_args(annotation)}
    argument, metavar = parameter.param_type_name == "argument", str(parameter.metavar or "")
    if kinds.isdisjoint((str, Path)) or (argument and metavar.startswith("--")):
        return  # after `--` stand words for another program, which may well be empty
    if argument:
        raise UsageError(f"{metavar or parameter.name.upper()} is empty", hint="name it; was a variable not set?")
    what = "name the file" if Path in kinds else "name the folder" if metavar in _FOLDERS else "give it a value"
    raise UsageError(f"{parameter.opts[0]} is empty", hint=f"{what}, or leave the option out")


def _plain_of(parameter: Any, value: Any) -> Any:
    """Return the value of a parameter as a command gets it, or that it is not plain."""
    described: Any = getattr(parameter, "type_descriptor", None)
    info = getattr(described, "parameter_info", None)
    if info is None or info.parser is not None:
        return _NOT_PLAIN
    several = parameter.multiple or parameter.nargs == -1
    if value is None:
        return () if several else None
    annotation = described.annotation
    if get_origin(annotation) is not list:
        return _NOT_PLAIN if several else _one(annotation, info, value)
    if not several or not isinstance(value, (list, tuple)):
        return _NOT_PLAIN
    each = [_one(get_args(annotation)[0], info, one) for one in value]
    return _NOT_PLAIN if any(one is _NOT_PLAIN for one in each) else each


def _one(annotation: Any, info: Any, value: Any) -> Any:
    if annotation in (str, bool) and type(value) is annotation:
        return value
    if annotation is int and type(value) in (int, str) and (type(value) is int or _NUMBER.fullmatch(value)):
        low, high = info.min, info.max
        number = int(value)
        return number if (low is None or number >= low) and (high is None or number <= high) else _NOT_PLAIN
    if annotation in (Path, Path | None) and type(value) is str and value.isprintable() and value:
        asks = info.exists or info.resolve_path or info.path_type is not None
        return _NOT_PLAIN if asks or os.path.lexists(value) else Path(value)  # of what is there typer asks more
    if get_origin(annotation) is Literal and type(value) is str and value in get_args(annotation):
        return value
    return _NOT_PLAIN
