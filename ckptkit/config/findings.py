"""What pydantic finds wrong with a value, in words for people: its own sentences speak of inputs and of its types."""

from collections.abc import Callable, Mapping
from typing import Any

_SAID: dict[str, str] = {
    "missing": "is missing",
    "extra_forbidden": "is not known",
    "string_type": "should be text",
    "bool_type": "should be true or false",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "int_parsing_size": "is too large a number",
    "float_type": "should be a number",
    "finite_number": "should be a finite number",
    "list_type": "should be a list",
    "tuple_type": "should be a list",
    "dict_type": "should hold keys and values",
    "model_type": "should hold keys and values",
    "model_attributes_type": "should hold keys and values",
    "none_required": "should be empty",
    "string_unicode": "is not valid Unicode",
    "recursion_loop": "contains itself",
    "invalid_key": "has a key that is not text",
    "string_pattern_mismatch": "is not written as it must be",
}
_WITH: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "literal_error": lambda known: f"should be {known['expected']}",
    "enum": lambda known: f"should be {known['expected']}",
    "greater_than_equal": lambda known: f"should be at least {known['ge']}",
    "less_than_equal": lambda known: f"should be at most {known['le']}",
    "greater_than": lambda known: f"should be more than {known['gt']}",
    "less_than": lambda known: f"should be less than {known['lt']}",
    "string_too_short": lambda known: f"should have at least {known['min_length']} characters",
    "string_too_long": lambda known: f"should have at most {known['max_length']} characters",
    "too_short": lambda known: f"should have at least {known['min_length']} of them",
    "too_long": lambda known: f"should have at most {known['max_length']} of them",
    "value_error": lambda known: str(known["error"]),
}


def said(found: Mapping[str, Any]) -> str:
    """Return what one finding of ``ValidationError.errors()`` means, as it follows the name of a field."""
    kind, known = str(found["type"]), found.get("ctx") or {}
    if kind in _WITH:
        return _WITH[kind](known)
    return _SAID.get(kind, f"is not what it should be ({kind.replace('_', ' ')})")
