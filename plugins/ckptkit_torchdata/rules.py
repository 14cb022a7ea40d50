"""What the state of a generator may be, judged in plain Python: NumPy and torch crash or hang on a bad one.

A *leaf* is the JSON object of one generator::

    {"kind": "python", "words": [625 words], "gauss": null}
    {"kind": "torch", "state": "base64 of get_state()"}
    {"kind": "numpy-generator" | "numpy-random-state", "bit_generator": "PCG64", ... as NumPy's own dictionary}
"""

import base64
import binascii
import math
import struct
from collections.abc import Mapping
from typing import Any

TORCH_BYTES = 5056
BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM")
_BUFFERED = {"has_uint32", "uinteger"}
_GAUSS = {"has_gauss", "gauss"}


def leaf_fault(leaf: Any, where: str) -> str | None:
    """Return what is wrong with the state of one generator, naming its place, or None."""
    kind = leaf.get("kind") if isinstance(leaf, Mapping) else None
    judge = {"python": _python, "torch": _torch, "numpy-generator": _numpy, "numpy-random-state": _numpy}.get(
        kind if isinstance(kind, str) else ""
    )
    if judge is None:
        return f"{where}: is not the state of a generator"
    reason = judge(leaf)
    return None if reason is None else f"{where}: {reason}"


def torch_bytes(text: Any) -> bytes | None:
    """Return the bytes of a torch state written as base64, or None if it is not that."""
    if not isinstance(text, str):
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _python(leaf: Mapping[str, Any]) -> str | None:
    if leaf.keys() != {"kind", "words", "gauss"}:
        return "does not hold words and gauss"
    words = leaf["words"]
    if not isinstance(words, list) or len(words) != 625:
        return "words is not a list of 625"
    if leaf["gauss"] is not None and not _finite(leaf["gauss"]):
        return "gauss is not a finite number"
    return _mersenne(words[:624], words[624])


def _numpy(leaf: Mapping[str, Any]) -> str | None:
    kind, name = leaf["kind"], leaf.get("bit_generator")
    if name not in BIT_GENERATORS:
        return "bit_generator is not a known one"
    extra = (_GAUSS if kind == "numpy-random-state" else set()) | (set() if name == "MT19937" else _BUFFERED)
    if leaf.keys() != {"kind", "bit_generator", "state"} | extra:
        return f"does not hold the fields of a {name}"
    if "has_gauss" in extra and (not _whole(leaf["has_gauss"], 1) or not _finite(leaf["gauss"])):
        return "gauss is not a finite number"
    if "uinteger" in extra and (not _whole(leaf["has_uint32"], 1) or not _whole(leaf["uinteger"], 2**32 - 1)):
        return "uinteger is not a 32-bit word"
    state = leaf["state"]
    if not isinstance(state, Mapping):
        return "state is not an object"
    if name == "MT19937":
        if state.keys() != {"key", "pos"}:
            return "state does not hold key and pos"
        return _mersenne(state["key"], state["pos"])
    if state.keys() != {"state", "inc"} or not all(_whole(value, 2**128 - 1) for value in state.values()):
        return "state and inc are not 128-bit words"
    return None if state["inc"] % 2 else "inc is even, so the generator would lose most of its period"


def _torch(leaf: Mapping[str, Any]) -> str | None:
    data = torch_bytes(leaf.get("state"))
    if leaf.keys() != {"kind", "state"} or data is None or len(data) != TORCH_BYTES:
        return f"state is not base64 of {TORCH_BYTES} bytes"
    # at::CPUGeneratorImplStateLegacy, then a cached float; torch indexes its 624 words by `next` without a check
    left, seeded, position = struct.unpack_from("<iiQ", data, 8)
    if seeded != 1 or not 1 <= left <= 624 or position > 624 or (left != 1 and left + position != 625):
        return "state holds a position outside its words"
    x, y, rho, cached = struct.unpack_from("<dddi", data, 5016)
    single, single_cached = struct.unpack_from("<fB", data, 5048)
    if not all(map(math.isfinite, (x, y, rho, single))) or cached not in (0, 1) or single_cached > 1:
        return "state holds an impossible cached normal number"
    return _mersenne(list(struct.unpack_from("<624Q", data, 24)), position)


def _mersenne(key: Any, position: Any) -> str | None:
    if not isinstance(key, list) or len(key) != 624 or not all(_whole(word, 2**32 - 1) for word in key):
        return "key is not a list of 624 words of 32 bits"
    if not _whole(position, 624):
        return "position is not an integer from 0 to 624"
    # Of the first word the generator looks at one bit only: with all else zero it never leaves that state.
    return None if key[0] >> 31 or any(key[1:]) else "key is all zeros, a state that the generator never leaves"


def _whole(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def _finite(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 2**53 and math.isfinite(value)
