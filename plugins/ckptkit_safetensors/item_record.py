"""What ckptkit notes of an item: in a file beside the model, and what each file of tensors has in its own header.

Up to format 2 the header of the model held all of it, the step too: no two files of one model were equal.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ckptkit.backend import GRADES
from ckptkit.errors import DamagedError
from ckptkit.formats import strict_json
from ckptkit.formats.safetensors_header import HeaderError, check_name
from ckptkit_safetensors import layouts

KEY = "ckptkit"
"""The one key in the metadata of each file: with two keys the library orders them at random, and files differ."""

NOTED_CLASSES = ("kind", "model", "ema", "optimizer", "scheduler", "scaler")
"""Fields of our record that are one word: what the item was, and the class of each part."""


def of_tensors(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return what ckptkit noted in the metadata of a file; empty for a file that another tool wrote.

    Raises:
        DamagedError: the note is not what ckptkit writes.
    """
    text = metadata.get(KEY)
    if text is None:
        return {}
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"has a {KEY!r} record that is not JSON") from error
    return _judged(record)


def of_item(directory: Path, files: Collection[str], header: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ckptkit noted of an item.

    Args:
        directory: its folder.
        files: their names.
        header: what the header of its model notes (``of_tensors``); it names the file, if there is one.

    Raises:
        DamagedError: the note is not what ckptkit writes; the message names the file.
    """
    name = header.get("record")
    if name is None or name not in files:
        return dict(header)
    try:
        return {**header, **_judged(strict_json.load(directory / name))}
    except DamagedError as error:
        raise DamagedError(f"{name}: {error.message.removeprefix(f'{name}: ')}") from error


def _judged(record: Any) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise DamagedError(f"has a {KEY!r} record that is not an object")
    wrong = [field for field, value in record.items() if not _is_note(field, value)]
    if wrong:
        raise DamagedError(f"has a {KEY!r} record with the wrong or unknown field {ascii(wrong[0])[:80]}")
    return record


def _is_note(field: str, value: Any) -> bool:
    if field in NOTED_CLASSES:
        return isinstance(value, str) and value.isprintable()
    if field == "step":
        return type(value) is int and value >= 0
    if field in ("aliases", "components"):
        return isinstance(value, dict) and all(map(_is_name, [*value, *value.values()]))
    if field in ("arrays", "pairs"):
        return isinstance(value, list) and all(map(_is_name, value))
    if field == "captured":
        return isinstance(value, dict) and value.keys() == {"grade", "reasons"} and _is_captured(**value)
    if field == "record":
        return bool(value == layouts.RECORD)
    return field == "parameters" and isinstance(value, list) and all(isinstance(group, list) for group in value)


def _is_captured(grade: object, reasons: object) -> bool:
    lines = reasons if isinstance(reasons, list) else [None]
    return grade in GRADES and all(isinstance(line, str) and len(line.splitlines()) == 1 for line in lines)


def _is_name(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        check_name(value)
    except HeaderError:
        return False
    return True
