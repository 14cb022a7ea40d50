"""Entries of lists and dicts, put and dropped by the text that names them in a place."""

import ast
from collections.abc import Mapping
from typing import Any


def put_key(item: Any, by_text: Mapping[str, Any], text: str, value: Any) -> None:
    """Set a dict's entry; one that it does not have yet is named by the literal of its key."""
    item[by_text[text] if text in by_text else ast.literal_eval(text)] = value


def put_index(item: Any, text: str, value: Any) -> None:
    """Set a list's entry, or append the next one."""
    if int(text) == len(item):
        item.append(value)
    else:
        item[int(text)] = value


def drop_index(item: Any, text: str) -> None:
    """Shorten a list to the entries before this one: what training takes away shifts the rest to the front."""
    del item[int(text) :]


def has(container: Any, text: str) -> bool:
    """Return whether a list or dict has the entry of this name."""
    if isinstance(container, list):
        return int(text) < len(container)
    return any(repr(key) == text for key in container)
