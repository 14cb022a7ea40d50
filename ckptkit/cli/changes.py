"""What changed between two checkpoints, for people: a tree of what differs, the most changed tensors first."""

import re
from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from ckptkit.cli import output, tree
from ckptkit.cli.tree import Node

if TYPE_CHECKING:
    from ckptkit.formats.tensor_changes import Change
    from ckptkit.store import Comparison, Difference

_DIGITS = re.compile(r"\d+")
_MOST = 10
_LARGEST = 1 << 200  # settings hold whole numbers that no float can
_LONGEST = 60
_HEADINGS = {"metric": "metrics", "counter": "counters", "config": "config", "environment": "environment"}


def lines(found: "Comparison", *, verbose: bool) -> Iterator[str]:
    """Yield what differs between two checkpoints."""
    limit = output.width()
    yield output.safe(f"{found.a.ref} -> {found.b.ref}")
    for kind, heading in _HEADINGS.items():
        if of_kind := [one for one in found.differences if one.kind == kind]:
            yield heading
            yield from tree.draw(_cut([_value(one) for one in of_kind], verbose, heading), limit)
    if items := _items(found, verbose):
        yield "items"
        yield from tree.draw(items, limit)
    elif not found.differences and not found.unread:
        yield "no difference: the same items, files, metrics, counters, config and environment"
    if words := _same(found):
        yield words


def difference(one: "Difference") -> float | None:
    """Return by how much a number changed; None for anything else."""
    if one.how != "changed" or not (_is_number(one.a) and _is_number(one.b)):
        return None
    by: float = one.b - one.a
    return by


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (type(value) is int and abs(value) < _LARGEST)


def _same(found: "Comparison") -> str:
    words = [f"{output.count(found.same_files, 'file')} the same"] if found.same_files else []
    if found.same_tensors:
        words.append(f"{output.count(found.same_tensors, 'tensor')} the same in files that differ")
    if found.unread_tensors:
        words.append(f"{output.count(found.unread_tensors, 'tensor')} not read, which may differ")
    return "; ".join(words)


def _value(one: "Difference") -> Node:
    if one.how != "changed":
        return Node(f"{_SIGNS[one.how]} {one.name}", (_words(one.b if one.a is None else one.a),))
    by = difference(one)
    moved = "" if by is None else f"({by:+.6g})" if not one.a else f"({by:+.6g}, {100 * by / abs(one.a):+.3g}%)"
    return Node(one.name, (f"{_words(one.a)} -> {_words(one.b)}", moved))


_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def _words(value: Any) -> str:
    text = value if isinstance(value, str) else output.dump(value)
    return text if isinstance(value, (int, float)) else tree.cut(text, _LONGEST)


def _items(found: "Comparison", verbose: bool) -> list[Node]:
    """Return a node for each item in which something differs."""
    own = {one.name: one for one in found.differences if one.kind == "item"}
    inside = [one for one in found.differences if one.item]
    return [
        _item(name, own.get(name), [one for one in inside if one.item == name], verbose)
        for name in {**own, **{one.item: one for one in inside}}
    ]


def _item(name: str, own: "Difference | None", inside: "Sequence[Difference]", verbose: bool) -> Node:
    below = []
    if own is not None and own.how == "changed":
        below += [Node(f"{k}: {own.a[k]} -> {own.b[k]}") for k in own.a if own.a[k] != own.b[k]]
    tensors = [one for one in inside if one.kind == "tensor"]
    files = [one for one in inside if one.kind == "file"]
    below += _cut([_file(one, [t for t in tensors if _of(t) == one.name], verbose) for one in files], verbose, "files")
    sign = _SIGNS["changed" if own is None else own.how]
    return Node(f"{sign} {name}", below=below)


def _of(tensor: "Difference") -> str:
    """Return the file that a tensor is in, by its name in the first checkpoint if it is there."""
    return str((tensor.b if tensor.a is None else tensor.a)["file"])


def _tensors(found: "Sequence[Difference]", verbose: bool) -> list[Node]:
    tensors = sorted(found, key=_weight)
    shown = tensors if verbose or len(tensors) <= _MOST + 1 else tensors[:_MOST]
    below = [_tensor(one) for one in shown]
    if left := len(tensors) - len(shown):
        below.append(Node(f"... and {left} more; --verbose shows all"))
    return below


def _cut(nodes: list[Node], verbose: bool, what: str) -> list[Node]:
    if verbose or len(nodes) <= 2 * _MOST + 1:
        return nodes
    return [*nodes[: 2 * _MOST], Node(f"... and {len(nodes) - 2 * _MOST} more {what}; --verbose shows all")]


def _file(one: "Difference", tensors: "Sequence[Difference]", verbose: bool) -> Node:
    there = one.a if one.b is None else one.b
    name, below = f"{_SIGNS[one.how]} {there['path']}", _tensors(tensors, verbose)
    if one.how != "changed":
        return Node(name, (output.size(there["size"]),), below)
    moved = one.b["size"] - one.a["size"]
    cells = (output.size(there["size"]), f"({moved:+,} B)" if moved else "")
    if _DIGITS.sub("", one.a["path"]) != _DIGITS.sub("", one.b["path"]):  # more than the step in its name
        below = [Node(f"was {one.a['path']}"), *below]
    return Node(name, cells, below, spare=1)


def _weight(one: "Difference") -> tuple[bool, bool, float]:
    """Return the sort key: what came, went or took another shape, then what changed most of its norm; counts last."""
    if one.change is None:
        return False, False, 0.0
    return True, prod(one.a["shape"]) == 1, -one.change.relative


def _tensor(one: "Difference") -> Node:
    if one.how != "changed":
        return Node(f"{_SIGNS[one.how]} {one.name}", (_kind(one.b if one.a is None else one.a),))
    kinds = [_kind(value) for value in (one.a, one.b)]
    words = kinds[0] if kinds[0] == kinds[1] else " -> ".join(kinds)
    below = [Node("content differs")] if kinds[0] == kinds[1] else []
    if one.change is not None:
        below = [Node(_by(one.change, prod(one.a["shape"])))]
    return Node(f"~ {one.name}", (words,), below)


def _kind(tensor: dict[str, Any]) -> str:
    return f"{tensor['dtype']} [{', '.join(map(str, tensor['shape']))}]"


def _by(change: "Change", elements: int) -> str:
    share = f"{100 * change.relative:.3g}% of |A|" if change.norm_a else "from zero"
    words = [f"|B-A|={change.norm:.4g}", f"|A|={change.norm_a:.4g}", f"|B|={change.norm_b:.4g}"]
    words.append(f"largest={change.largest:.4g}")
    if change.differing != elements:
        words.append(f"{change.differing:,} of {elements:,} numbers")
    if change.not_finite:
        words.append(f"{change.not_finite:,} not finite and left out")
    return f"{share}: {', '.join(words)}"
