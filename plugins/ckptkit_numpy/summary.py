"""What is said of a file of generators: which they are, how large, and what a foreign file lacks."""

import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ckptkit_numpy import live
from ckptkit_numpy.live_trees import live_leaves
from ckptkit_numpy.trees import leaves, place, title

_NAMED_ONE_BY_ONE = 32
_BYTES = {"python-random": 7000, "torch-generator": 6900, "random-state": 7100}


def generators_in(tree: Any) -> dict[str, Any]:
    """Return the generators of a JSON tree as metadata: by place; where they are many, how many of each type."""
    titles = {place(path): title(leaf) for path, leaf in leaves(tree).items()}
    return titles if len(titles) <= _NAMED_ONE_BY_ONE else dict(Counter(titles.values()))


def library_versions() -> dict[str, str]:
    """Return the versions of NumPy and torch, as far as this process has loaded them."""
    return {name: str(sys.modules[name].__version__) for name in ("numpy", "torch") if sys.modules.get(name)}


def foreign_hazards(tree: Any) -> Iterator[str]:
    """Yield what a file that another program wrote cannot say about its generators."""
    states: list[tuple[str, Any]] = []
    for path, leaf in leaves(tree).items():
        twin = next((name for name, other in states if other == leaf), None)
        if twin is not None:
            yield f"{place(path)} and {twin} are in one state: if they are one object, they come back as two"
        states.append((place(path), leaf))


def estimated_bytes(tree: Any) -> int:
    """Return about how many bytes the file of a tree of live generators will have."""
    return 200 + sum(_estimated(item) for _, item in live_leaves(tree))


def _estimated(item: Any) -> int:
    if type(live.bits_of(item)).__name__ == "MT19937":
        return 7100
    return _BYTES.get(live.kind_of(item) or "", 600)
