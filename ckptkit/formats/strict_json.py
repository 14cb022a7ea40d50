"""JSON as ckptkit reads and writes it: I-JSON (RFC 7493), one canonical byte form, every number exact.

Reading refuses what other readers would understand differently: duplicate keys, ``NaN``/``Infinity`` literals, a byte
order mark, lone surrogates, nesting deeper than the cap, integers too long to be real. Numbers that plain JSON cannot
carry exactly (NaN, infinities, integers beyond 2**53 - 1) are written as ``{"$number": "NaN"}`` or
``{"$number": "340282366920938463463374607431768211455"}`` and come back as the same number.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckptkit.errors import DamagedError, UsageError

MAX_DEPTH = 32
MAX_BYTES = 64 << 20
_TAG = "$number"
_SAFE_INTEGER = 2**53 - 1  # RFC 7493, section 2.2
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,2999})")
_AS_IT_IS = (str, bool, type(None))
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_LINES = 5  # levels of what is written for people
_DEEP = "more than {} levels of nesting"


class StrictJsonError(DamagedError):
    """The bytes are not the JSON that ckptkit accepts; the message says why, without the file name."""


def loads(data: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """Parse strict JSON bytes.

    Args:
        data: UTF-8 bytes.
        max_bytes: longest input that is parsed at all.
        max_depth: deepest nesting that is accepted.

    Returns:
        The value, with ``{"$number": ...}`` turned back into numbers.

    Raises:
        StrictJsonError: for anything else than strict JSON.
    """
    if len(data) > max_bytes:
        raise StrictJsonError(f"too large for JSON: {len(data)} bytes, at most {max_bytes} are read")
    if not data.strip():
        raise StrictJsonError("is empty")
    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_literal, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise StrictJsonError(f"is not UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise StrictJsonError(_DEEP.format(max_depth)) from error
    except StrictJsonError:
        raise
    except json.JSONDecodeError as error:
        raise StrictJsonError(f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from error
    except ValueError as error:  # an integer of thousands of digits
        raise StrictJsonError(f"holds a number that cannot be read ({error})") from error
    _check(value, max_depth, surrogates=b"\\u" in data)
    return value


def load(path: Path, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """Parse a strict JSON file; the error names the file. Raises StrictJsonError and OSError."""
    with path.open("rb") as stream:
        data = stream.read(max_bytes + 1)
    try:
        return loads(data, max_bytes=max_bytes, max_depth=max_depth)
    except StrictJsonError as error:
        raise StrictJsonError(f"{path.name}: {error}") from error


def dumps(value: Any, *, indent: int | None = None) -> bytes:
    """Return the JSON bytes of a value: keys sorted by code point, UTF-8 unescaped, numbers exact.

    Without ``indent`` this is the canonical form over which digests are taken (no white space at all).

    Raises:
        UsageError: the value holds something that is not JSON (the message names where), or a key that starts with "$".
    """
    separators = (",", ":") if indent is None else (",", ": ")
    try:
        ready = _ready(value)
    except UsageError:
        ready = encode(value)  # says where
    text = json.dumps(ready, ensure_ascii=False, sort_keys=True, indent=indent, separators=separators, allow_nan=False)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError("text with a lone surrogate cannot be written as JSON") from error


def plain(value: Any) -> Any:
    """Return what ``loads(dumps(value))`` would, without either: dicts and lists of the reader's own types.

    Raises:
        UsageError: the value holds something that is not JSON, or a lone surrogate.
        StrictJsonError: it is nested too deep.
    """
    result = _plain(value, "$")
    try:
        _check(result, MAX_DEPTH, surrogates=True)
    except StrictJsonError as error:
        if "surrogate" in str(error):
            raise UsageError("text with a lone surrogate cannot be written as JSON") from error
        raise
    return result


def _plain(value: Any, where: str) -> Any:
    kind = type(value)
    if kind in _AS_IT_IS or kind is float or kind is int:
        return value
    if isinstance(value, Mapping):
        pairs = {_key(k, where): _plain(v, f"{where}.{k}") for k, v in value.items()}
        return {key: pairs[key] for key in sorted(pairs)}  # as they are written
    if isinstance(value, (list, tuple)):
        if set(map(type, value)) <= {int, str}:  # states of generators: hundreds of words
            return list(value)
        return [_plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, (int, float, str)):  # of a subclass
        return float(value) if isinstance(value, float) else int(value) if isinstance(value, int) else str(value)
    raise UsageError(f"{where}: a {type(value).__name__} cannot be written as JSON", hint="convert it to plain values")


@dataclass(frozen=True, slots=True)
class Text:
    """A value written once, in two forms: ``canonical`` as ``dumps`` does it, ``lines`` for people to read."""

    canonical: str
    lines: str


def written(value: Any, *, margin: str = " ") -> Text:
    """Return a value of ``plain`` as text; what is nested deeper than ``_LINES`` stays on one line.

    Args:
        value: dicts, lists and scalars.
        margin: of the lines of what is in it.
    """
    if value and len(margin) <= _LINES:
        if isinstance(value, dict):
            return joined({key: written(inner, margin=f"{margin} ") for key, inner in value.items()}, margin=margin)
        if isinstance(value, list) and isinstance(value[0], (dict, list)):
            inner = [written(one, margin=f"{margin} ") for one in value]
            return Text(
                f"[{','.join(one.canonical for one in inner)}]",
                f"[\n{margin}{f',{chr(10)}{margin}'.join(one.lines for one in inner)}\n{margin[:-1]}]",
            )
    text = json.dumps(_ready(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Text(text, text)


def joined(members: Mapping[str, Text], *, margin: str = " ") -> Text:
    """Return the object that has these members, which are not written again."""
    named = [(json.dumps(key, ensure_ascii=False), members[key]) for key in sorted(members)]
    return Text(
        f"{{{','.join(f'{key}:{member.canonical}' for key, member in named)}}}",
        f"{{\n{margin}{f',{chr(10)}{margin}'.join(f'{key}: {member.lines}' for key, member in named)}\n{margin[:-1]}}}",
    )


def encode(value: Any, where: str = "$") -> Any:
    """Return the value with unsafe numbers tagged, tuples as lists, and everything checked to be JSON."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) <= _SAFE_INTEGER else {_TAG: str(int(value))}
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        return {_TAG: "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, Mapping):
        return {_key(k, where): encode(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        # States of generators: hundreds of words, each of which would be a call.
        if set(map(type, value)) == {int} and max(value) <= _SAFE_INTEGER and min(value) >= -_SAFE_INTEGER:
            return list(value)
        return [encode(v, f"{where}[{i}]") for i, v in enumerate(value)]
    raise UsageError(f"{where}: a {type(value).__name__} cannot be written as JSON", hint="convert it to plain values")


def _ready(value: Any) -> Any:
    """Return what ``encode`` does, or the value itself where that is written the same; most states are, and large."""
    kind = type(value)
    if kind is dict:
        for key in value:
            if type(key) is not str or key[:1] == "$":
                return encode(value)
        pairs: Any = value.items()
    elif kind is list or kind is tuple:
        if set(map(type, value)) == {int}:  # states of generators: hundreds of words, each of which would be a call
            return value if max(value) <= _SAFE_INTEGER and min(value) >= -_SAFE_INTEGER else encode(value)
        pairs = enumerate(value)
    else:
        return encode(value)
    changed = None
    for place, item in pairs:
        own = type(item)
        if own in _AS_IT_IS or (own is int and -_SAFE_INTEGER <= item <= _SAFE_INTEGER):
            continue
        if own is float and math.isfinite(item):
            continue
        new = _ready(item)
        if new is not item:
            if changed is None:
                changed = dict(value) if kind is dict else list(value)
            changed[place] = new
    return value if changed is None else changed


def _key(key: object, where: str) -> str:
    if not isinstance(key, str) or key.startswith("$"):
        raise UsageError(f"{where}: {key!r} cannot be a JSON key here", hint='use text that does not start with "$"')
    return key


def _object(pairs: list[tuple[str, Any]]) -> Any:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [k for k, _ in pairs]
        double = next(k for k in names if names.count(k) > 1)
        raise StrictJsonError(f"has the key {double[:80]!r} twice in one object")
    if _TAG in result:
        return _tagged(result)
    return result


def _tagged(pairs: dict[str, Any]) -> int | float:
    text = pairs[_TAG]
    if len(pairs) == 1 and isinstance(text, str):
        if text in _SPECIAL:
            return _SPECIAL[text]
        if _NUMBER.fullmatch(text):
            return int(text)
    raise StrictJsonError(f'holds a "{_TAG}" that is not a number')


def _refuse_literal(literal: str) -> Any:
    raise StrictJsonError(f"holds the literal {literal}, which is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise StrictJsonError(f"holds the number {text[:40]}, which no reader can hold")
    return value


def _check(value: Any, max_depth: int, *, surrogates: bool) -> None:
    level, values = 0, [value]
    while values:
        deeper: list[Any] = []
        for item in values:
            if isinstance(item, dict):
                deeper.extend(item.values())
                if surrogates:
                    deeper.extend(item)
            elif isinstance(item, list):
                deeper.extend(item)
            elif surrogates and isinstance(item, str) and any("\ud800" <= c <= "\udfff" for c in item):
                raise StrictJsonError("holds a lone surrogate (an escape that is not a character)")
        level += 1
        if level > max_depth and deeper:
            raise StrictJsonError(_DEEP.format(max_depth))
        values = deeper
