"""What a generator's state may be: judged field by field in plain Python, because NumPy itself does not look.

NumPy crashes, hangs or hands out foreign memory on a bad state (MT19937 ``pos`` 100000, an all-zero key, Philox
``buffer_pos`` -3). All backends judge by these rules, whatever their own files look like. A *leaf* is the JSON object
of one generator, in the very shape that NumPy's ``.state`` has, with integers either plain or as decimal strings. Every
rule takes a value and its place and yields ``place: reason`` lines.
"""

import base64
import binascii
import json
import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Rule = Callable[[Any, str], Iterator[str]]

_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,3999})", re.ASCII)
_MISSING = object()
MAX_LIST = 65536
MAX_POOL = 1024  # mixing costs pool_size squared; NumPy's default is 4
TORCH_CPU_BYTES = 5056
TORCH_CUDA_BYTES = 16


def as_integer(value: Any) -> int | None:
    """Return the integer that a JSON value stands for (an int, or its decimal text), or None; a bool does not count."""
    if type(value) is int:
        return value
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return int(value)
    return None


def shown(value: Any) -> str:
    """Return a value as text for a message, never longer than 60 characters."""
    text = repr(value) if not isinstance(value, (dict, list)) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def label(name: str) -> str:
    """Return a key of the file as part of a place in a one-line message."""
    return name if name.isprintable() and len(name) <= 60 else shown(name)


def between(low: int, high: int, what: str = "") -> Rule:
    """Rule: an integer from low to high, both included."""
    wanted = what or f"an integer from {low} to {high}"

    def rule(value: Any, where: str) -> Iterator[str]:
        if type(value) is int and low <= value <= high:
            return
        number = as_integer(value)
        if number is None or not low <= number <= high:
            yield f"{where}: {shown(value)} is not {wanted}"

    return rule


def word(bits: int) -> Rule:
    """Rule: an unsigned integer of this many bits."""
    return between(0, (1 << bits) - 1, f"a {bits}-bit word")


def words(length: int, bits: int, *, zero: bool = True) -> Rule:
    """Rule: a list of exactly this many words; ``zero=False`` refuses a list of only zeros."""
    one = word(bits)

    def rule(value: Any, where: str) -> Iterator[str]:
        if not isinstance(value, list) or len(value) != length:
            size = f"a list of {len(value)}" if isinstance(value, list) else shown(value)
            yield f"{where}: {size} is not a list of {length} words"
            return
        sound = set(map(type, value)) == {int} and min(value) >= 0 and max(value).bit_length() <= bits
        fault = None if sound else next((f for i, v in enumerate(value) for f in one(v, f"{where}[{i}]")), None)
        if fault is not None:
            yield fault
        elif not zero and not any(as_integer(v) for v in value):
            yield f"{where}: is all zeros, a state that the generator never leaves"

    return rule


def record(optional: frozenset[str] = frozenset(), /, **rules: Rule) -> Rule:
    """Rule: an object of exactly these fields, each by its own rule."""

    def rule(value: Any, where: str) -> Iterator[str]:
        if not isinstance(value, Mapping):
            yield f"{where}: {shown(value)} is not an object"
            return
        for name in value:
            if name not in rules:
                yield f"{where}.{label(name)}: is not one of its fields"
        for name, inner in rules.items():
            field = value.get(name, _MISSING)
            if field is not _MISSING:
                yield from inner(field, f"{where}.{name}")
            elif name not in optional:
                yield f"{where}.{name}: is missing"

    return rule


def _odd(value: Any, where: str) -> Iterator[str]:
    yield from word(128)(value, where)
    number = as_integer(value)
    if number is not None and number % 2 == 0:
        yield f"{where}: {shown(value)} is even, so the generator would lose most of its period"


def _mersenne_key(value: Any, where: str) -> Iterator[str]:
    fault = next(words(624, 32, zero=False)(value, where), None)
    if fault is not None:
        yield fault
    elif not (as_integer(value[0]) or 0) >> 31 and not any(as_integer(v) for v in value[1:]):
        yield f"{where}: is all zeros but for bits that the generator ignores, a state that it never leaves"


def _finite(value: Any, where: str) -> Iterator[str]:
    # A drawn normal number is small; an integer beyond 2**53 would not be the same number as a float.
    if type(value) not in (int, float) or not abs(value) <= 2**53:
        yield f"{where}: {shown(value)} is not a finite number of at most 2**53"


def _finite_or_null(value: Any, where: str) -> Iterator[str]:
    if value is not None:
        yield from _finite(value, where)


def _entropy(value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield from _natural(value, where)
    elif len(value) > MAX_LIST:
        yield f"{where}: a list of {len(value)} is longer than {MAX_LIST}"
    else:
        yield from (f for i, v in enumerate(value) for f in _natural(v, f"{where}[{i}]"))


def _natural(value: Any, where: str) -> Iterator[str]:
    number = as_integer(value)
    if number is None or number < 0:
        yield f"{where}: {shown(value)} is not an integer of zero or more"


def _naturals(value: Any, where: str) -> Iterator[str]:
    if isinstance(value, list):
        yield from _entropy(value, where)
    else:
        yield f"{where}: {shown(value)} is not a list"


def _seed_seq(value: Any, where: str) -> Iterator[str]:
    if value is not None:
        yield from _SEED_SEQ(value, where)


def _text(value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{where}: {shown(value)} is not text"


def _text_or_null(value: Any, where: str) -> Iterator[str]:
    if value is not None:
        yield from _text(value, where)


def _words_of_32(value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, list) or len(value) > MAX_LIST:
        yield f"{where}: {shown(value)} is not a list of at most {MAX_LIST} words"
    else:
        yield from words(len(value), 32)(value, where)


def _json_scalar(value: Any, where: str) -> Iterator[str]:
    try:
        plain = not isinstance(value, str) or isinstance(json.loads(value), (list, dict))
    except ValueError:
        plain = True
    if plain:
        yield f"{where}: {shown(value)} is not a plain value in JSON"


def _jax_key(value: Any, where: str) -> Iterator[str]:
    faults = list(_JAX_KEY(value, where))
    yield from faults
    if not faults and math.prod(as_integer(side) or 0 for side in value["shape"]) != len(value["words"]):
        yield f"{where}.shape: does not fit {len(value['words'])} words"


def _python_words(value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, list) or len(value) != 625:
        yield from words(625, 32)(value, where)
        return
    yield from _mersenne_key(value[:624], where)
    yield from between(0, 624)(value[624], f"{where}[624]")


def torch_bytes(text: str) -> bytes | None:
    """Return the bytes of a torch state written as base64, or None if it is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _torch_cpu(data: bytes, where: str) -> Iterator[str]:
    # at::CPUGeneratorImplStateLegacy, then a cached float; torch indexes its 624 words by `next` without a check
    left, seeded, position = struct.unpack_from("<iiQ", data, 8)
    yield from between(1, 624)(left, f"{where}.left")
    yield from between(1, 1)(seeded, f"{where}.seeded")
    yield from between(0, 624)(position, f"{where}.next")
    if left != 1 and left + position != 625:
        yield f"{where}.next: {position} does not fit {left} remaining words"
    yield from _mersenne_key(list(struct.unpack_from("<624Q", data, 24)), f"{where}.words")
    x, y, rho, cached = struct.unpack_from("<dddi", data, 5016)
    for name, number in (("normal_x", x), ("normal_y", y), ("normal_rho", rho)):
        yield from _finite(number, f"{where}.{name}")
    yield from between(0, 1)(cached, f"{where}.normal_is_valid")
    single, single_cached = struct.unpack_from("<fB", data, 5048)
    yield from _finite(single, f"{where}.next_float_normal")
    yield from between(0, 1)(single_cached, f"{where}.next_float_normal_is_valid")


def _torch_cuda(data: bytes, where: str) -> Iterator[str]:
    (offset,) = struct.unpack_from("<Q", data, 8)
    if offset % 4:
        yield f"{where}.offset: {offset} is not a multiple of 4"


def _torch(value: Any, where: str) -> Iterator[str]:
    shape = record(kind=_text, device=_text, state=_text)
    faults = list(shape(value, where))
    if faults:
        yield from faults
        return
    device, data = value["device"], torch_bytes(value["state"])
    if not re.fullmatch(r"cpu|cuda:(0|[1-9][0-9]{0,3})", device):
        yield f"{where}.device: {shown(device)} is neither cpu nor cuda:N"
        return
    size, inner = (TORCH_CPU_BYTES, _torch_cpu) if device == "cpu" else (TORCH_CUDA_BYTES, _torch_cuda)
    if data is None:
        yield f"{where}.state: is not base64 text"
    elif len(data) != size:
        yield f"{where}.state: has {len(data)} bytes, a {device} generator has {size}"
    else:
        yield from inner(data, f"{where}.state")


_SEED: dict[str, Rule] = {
    "entropy": _entropy,
    "spawn_key": _naturals,
    "pool_size": between(4, MAX_POOL),
    "n_children_spawned": between(0, 2**32 - 1),
}
_SEED_SEQ = record(**_SEED)
_BUFFERED: dict[str, Rule] = {"has_uint32": between(0, 1), "uinteger": word(32)}
_PCG: dict[str, Rule] = {"state": record(state=word(128), inc=_odd), **_BUFFERED}

BIT_GENERATORS: dict[str, dict[str, Rule]] = {
    "PCG64": _PCG,
    "PCG64DXSM": _PCG,
    "MT19937": {"state": record(key=_mersenne_key, pos=between(0, 624))},
    "Philox": {
        "state": record(counter=words(4, 64), key=words(2, 64)),
        "buffer": words(4, 64),
        "buffer_pos": between(0, 4),
        **_BUFFERED,
    },
    "SFC64": {"state": record(state=words(4, 64, zero=False)), **_BUFFERED},
}
"""The fields of each bit generator's ``.state`` besides its name."""

_PYTHON = record(kind=_text, version=between(3, 3), words=_python_words, gauss_next=_finite_or_null)
_JAX_KEY = record(kind=_text, impl=_text_or_null, shape=_naturals, words=_words_of_32)
_PLAIN_VALUE = record(kind=_text, json=_json_scalar)
_BARE: dict[str, Rule] = {
    "python-random": _PYTHON,
    "torch-generator": _torch,
    "seed-sequence": record(kind=_text, **_SEED),
    "jax-key": _jax_key,
    "plain-value": _PLAIN_VALUE,
}
"""The kinds that are not NumPy generators."""

_LEAF_TEXTS = frozenset({"kind", "bit_generator", "device", "state", "impl", "json"})
"""Fields of a leaf that are text; ``state`` is one of torch only, as the rules have said by then."""

_WRAPPERS: dict[str, dict[str, Rule]] = {
    "generator": {"seed_seq": _seed_seq},
    "bit-generator": {"seed_seq": _seed_seq},
    "random-state": {"has_gauss": between(0, 1), "gauss": _finite},
}


def is_leaf(node: Any) -> bool:
    """Return whether a JSON value is the state of one generator, rather than a dict or list of them."""
    return isinstance(node, Mapping) and (
        isinstance(node.get("kind"), str) or isinstance(node.get("bit_generator"), str)
    )


def leaf_faults(leaf: Mapping[str, Any], where: str, *, foreign: bool = False, decimals: bool = True) -> Iterator[str]:
    """Yield what is wrong with the state of one generator.

    Args:
        leaf: the JSON object; see ``is_leaf``. A ``same-as`` leaf is judged by the tree it is in.
        where: its place, as it should appear in the message (``generators.aug``).
        foreign: the object was not written by this backend, so it has neither ``kind`` nor a seed sequence.
        decimals: integers may be decimal text, which the reader turns into numbers before a library sees them.
    """
    found = list(_leaf_faults(leaf, where, foreign))
    yield from found
    if not found and not decimals:
        yield from _decimals(leaf, where, _LEAF_TEXTS)


def _decimals(node: Any, where: str, texts: frozenset[str] = frozenset()) -> Iterator[str]:
    if isinstance(node, list) and set(map(type, node)) == {int}:
        return
    entries: Any = node.items() if isinstance(node, Mapping) else enumerate(node)
    for name, value in entries:
        place = f"{where}.{name}" if isinstance(node, Mapping) else f"{where}[{name}]"
        if isinstance(value, (Mapping, list)):
            yield from _decimals(value, place)
        elif isinstance(value, str) and name not in texts:
            yield f"{place}: {shown(value)} is a number written as text"


def _leaf_faults(leaf: Mapping[str, Any], where: str, foreign: bool) -> Iterator[str]:
    kind = leaf_kind(leaf)
    if kind in _BARE:
        yield from _BARE[kind](leaf, where)
    elif kind not in _WRAPPERS:
        yield f"{where}.kind: {shown(kind)} is not a known kind of generator"
    elif not isinstance(leaf.get("bit_generator"), str):
        yield f"{where}.bit_generator: {shown(leaf.get('bit_generator'))} is not the name of a bit generator"
    elif leaf["bit_generator"] not in BIT_GENERATORS:
        yield f"{where}.bit_generator: {shown(leaf['bit_generator'])} is not a known bit generator"
    else:
        rules = {"kind": _text, "bit_generator": _text, **BIT_GENERATORS[leaf["bit_generator"]], **_WRAPPERS[kind]}
        optional = frozenset({"kind", "seed_seq"} if foreign else ())
        yield from record(optional, **rules)(leaf, where)


def leaf_kind(leaf: Mapping[str, Any]) -> str:
    """Return the kind of a leaf; NumPy's own dictionaries do not say it, but only RandomState's have a gauss."""
    kind = leaf.get("kind")
    if isinstance(kind, str):
        return kind
    return "random-state" if "has_gauss" in leaf else "generator"
