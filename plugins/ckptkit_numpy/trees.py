"""Walk a tree of generators, live ones or their JSON leaves: dicts and lists, in one order, with readable places."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ckptkit.formats.generator_states import is_leaf, label, leaf_faults, leaf_kind, shown

Path = tuple[str | int, ...]


def place(path: Path) -> str:
    """Return a path as text: ``generators.aug[0]``; the lone generator of an adopted file is ``generator``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{label(str(part))}" for part in path)
    return text.removeprefix(".") or "generator"


def nodes(tree: Any, leaf: Callable[[Any], bool] = is_leaf, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every node with its path, parents first, keys sorted: containers, leaves, and what is neither."""
    yield path, tree
    if leaf(tree):
        return
    if isinstance(tree, Mapping):
        for key in sorted(tree, key=str):
            yield from nodes(tree[key], leaf, (*path, key))
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            yield from nodes(item, leaf, (*path, index))


def leaves(tree: Any) -> dict[Path, Mapping[str, Any]]:
    """Return the JSON leaves of a tree by path, in walking order, without those that only point to another."""
    return {p: n for p, n in nodes(tree) if is_leaf(n) and leaf_kind(n) != "same-as"}


def at(tree: Any, path: Path) -> Any:
    """Return the node at a path that is known to exist."""
    for part in path:
        tree = tree[part]
    return tree


def mapped(tree: Any, change: Callable[[Path, Mapping[str, Any]], Any], path: Path = ()) -> Any:
    """Return the tree with every JSON leaf replaced by ``change(path, leaf)``, in walking order."""
    if is_leaf(tree):
        return change(path, tree)
    if isinstance(tree, list):
        return [mapped(item, change, (*path, index)) for index, item in enumerate(tree)]
    return {key: mapped(tree[key], change, (*path, key)) for key in sorted(tree)}


def tree_faults(tree: Any, *, foreign: bool = False) -> Iterator[str]:
    """Yield what is wrong with a JSON tree: with each leaf, with pointers, and what is no generator at all."""
    seen: set[Path] = set()
    for path, node in nodes(tree):
        if is_leaf(node) and leaf_kind(node) == "same-as":
            pointer = node.get("path")
            valid = isinstance(pointer, list) and all(type(part) in (str, int) for part in pointer)
            if set(node) != {"kind", "path"} or not valid or tuple(pointer) not in seen:
                yield f"{place(path)}.path: {shown(pointer)} does not lead to a generator before it"
        elif is_leaf(node):
            seen.add(path)
            yield from leaf_faults(node, place(path), foreign=foreign)
        elif not isinstance(node, (Mapping, list)):
            yield f"{place(path)}: {shown(node)} is not the state of a generator"


def title(leaf: Mapping[str, Any]) -> str:
    """Return what a JSON leaf is in words: ``Generator(PCG64)``, ``torch.Generator(cpu)``."""
    kind, bits = leaf_kind(leaf), leaf.get("bit_generator")
    return {
        "generator": f"Generator({bits})",
        "bit-generator": f"{bits}",
        "random-state": f"RandomState({bits})",
        "python-random": "random.Random",
        "seed-sequence": "SeedSequence",
        "jax-key": f"a JAX key ({leaf.get('impl') or 'raw'})",
        "plain-value": "a plain value",
        "torch-generator": f"torch.Generator({leaf.get('device')})",
        "same-as": f"the same object as {place(tuple(leaf.get('path', ())))}",
    }[kind]


def outline(tree: Any, path: Path = ()) -> dict[Path, str]:
    """Return what stands at each path of a tree, so that two trees can be compared before one is put into the other."""

    def word(node: Any) -> str:
        if is_leaf(node):
            return title(node)
        return f"a list of {len(node)}" if isinstance(node, list) else "nothing" if node is None else "a dict"

    return {found: word(node) for found, node in nodes(tree, path=path)}


def first_difference(saved: Any, target: Any, path: Path = ()) -> str | None:
    """Return where two JSON trees, both from one path on, differ in structure or in a generator's type, or None."""
    ours, theirs = outline(saved, path), outline(target, path)
    for path in sorted({*ours, *theirs}, key=lambda p: [str(part) for part in p]):
        has, wants = ours.get(path, "nothing"), theirs.get(path, "nothing")
        if has != wants:
            return f"{place(path)}: the checkpoint has {has}, the target has {wants}"
    return None
