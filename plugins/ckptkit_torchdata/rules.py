"""What the state of a generator in ``loader.json`` may be: the core's rules, on the leaves as they stand in that file.

A *leaf* is the JSON object of one generator::

    {"kind": "python", "words": [625 words], "gauss": null}
    {"kind": "torch", "state": "base64 of get_state()"}
    {"kind": "numpy-generator" | "numpy-random-state", "bit_generator": "PCG64", ... as NumPy's own dictionary}
"""

from collections.abc import Mapping
from typing import Any

from ckptkit.formats.generator_states import leaf_faults

BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM")
"""Those that this version of ``loader.json`` has; the rules know more."""
_COMMON: Mapping[str, Mapping[str, Any]] = {
    "python": {"kind": "python-random", "version": 3},
    "torch": {"kind": "torch-generator", "device": "cpu"},
    "numpy-generator": {"kind": "generator", "seed_seq": None},
    "numpy-random-state": {"kind": "random-state"},
}
"""What the core's leaf says that the kind of ours implies."""


def leaf_fault(leaf: Any, where: str) -> str | None:
    """Return what is wrong with the state of one generator, naming its place, or None."""
    kind = leaf.get("kind") if isinstance(leaf, Mapping) else None
    if not isinstance(kind, str) or kind not in _COMMON:
        return f"{where}: is not the state of a generator"
    own, implied = {name: value for name, value in leaf.items() if name != "kind"}, _COMMON[kind]
    if not own.keys().isdisjoint(implied) or (kind == "python" and own.keys() != {"words", "gauss"}):
        return f"{where}: does not hold the fields of a {kind} generator"
    if kind.startswith("numpy") and own.get("bit_generator") not in BIT_GENERATORS:
        return f"{where}: bit_generator is not a known one"
    if kind == "python":
        own = {"words": own["words"], "gauss_next": own["gauss"]}
    return next(leaf_faults({**own, **implied}, where, decimals=False), None)
