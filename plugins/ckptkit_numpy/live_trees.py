"""Trees of live generators: captured, copied, rebuilt, and put back in place, with shared objects staying shared."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ckptkit.errors import BackendError
from ckptkit.formats.generator_states import leaf_kind
from ckptkit_numpy import live
from ckptkit_numpy.containers import Shapes
from ckptkit_numpy.fitting import Fitting
from ckptkit_numpy.opening import MAX_DEPTH, opened
from ckptkit_numpy.trees import Path, mapped, nodes, place


def _is_live(item: object) -> bool:
    return live.kind_of(item) is not None


def holds_generators(item: object) -> bool:
    """Return whether the object is a generator, or a container of nothing but generators (nested allowed)."""
    found, level = False, [opened(item)]
    for _ in range(MAX_DEPTH + 1):
        deeper: list[object] = []
        for node in level:
            if isinstance(node, dict):
                deeper.extend(node.values())
            elif isinstance(node, list):
                deeper.extend(node)
            elif _is_live(node):
                found = found or live.kind_of(node) != "plain-value"
            else:
                return False
        level = deeper
    return found and not level


def live_leaves(tree: Any) -> Iterator[tuple[Path, Any]]:
    """Yield every live generator of a tree with its path.

    Raises:
        BackendError: something in the tree is not a generator, or it is nested too deeply; the message says where.
    """
    for path, node in nodes(tree, lambda item: _is_live(item) or not isinstance(item, (dict, list))):
        if len(path) > MAX_DEPTH:
            text = f"{place(path)}: is nested more than {MAX_DEPTH} levels deep"
            raise BackendError(text, hint="keep the generators in fewer containers within each other")
        if isinstance(node, dict):
            odd = next((key for key in node if not isinstance(key, str) or key.startswith("$")), None)
            if odd is not None:
                text = f'{place(path)}: {odd!r} cannot be a name, only text that does not start with "$"'
                raise BackendError(text, hint="give it a name that is such text: str(key)")
        elif not isinstance(node, list):
            if not _is_live(node):
                name = f"{type(node).__module__}.{type(node).__qualname__}"
                hint = "take it out of the item, or use a generator of NumPy, random or torch, or a JAX key"
                raise BackendError(f"{place(path)}: a {name} is not a known generator", hint=hint)
            yield path, node


def capture_tree(tree: Any) -> Any:
    """Return the JSON tree of live generators; the second place of an object points to its first.

    Raises:
        BackendError: something cannot be captured, or two generators share one bit generator; names the place.
    """
    first: dict[int, Path] = {}
    streams: dict[int, Path] = {}
    captured: dict[Path, dict[str, Any]] = {}
    for path, item in live_leaves(tree):
        if id(item) in first:
            captured[path] = {"kind": "same-as", "path": list(first[id(item)])}
            continue
        first[id(item)] = path
        bits = live.bits_of(item)
        if bits is not None and id(bits) in streams:
            raise BackendError(
                f"{place(path)} and {place(streams[id(bits)])} share one bit generator",
                hint="name only one of them: the other follows it",
            )
        streams[id(bits)] = path
        try:
            captured[path] = live.capture(item)
        except BackendError as error:
            raise BackendError(f"{place(path)}: {error}", hint=error.hint) from error
    return _replaced(tree, lambda path, _: captured[path])


def duplicate_tree(tree: Any) -> Any:
    """Return independent copies of all generators in a tree; what was one object is one object again."""
    copies: dict[int, Any] = {}
    for _, item in live_leaves(tree):
        if id(item) not in copies:
            copies[id(item)] = live.duplicate(item)
    return _replaced(tree, lambda _, item: copies[id(item)])


def build_tree(saved: Any) -> Any:
    """Return new generators in the state of a judged JSON tree, in the same dicts and lists.

    Raises:
        BackendError: a library is missing, or did not keep what it was given; the message names the place.
    """
    built: dict[Path, Any] = {}

    def build(path: Path, leaf: Mapping[str, Any]) -> Any:
        if leaf_kind(leaf) == "same-as":
            return built[tuple(leaf["path"])]
        try:
            built[path] = live.build(leaf)
        except BackendError as error:
            raise type(error)(f"{place(path)}: {error}", hint=error.hint) from error
        return built[path]

    return mapped(saved, build)


def put_tree(
    saved: Mapping[str, Any], target: Mapping[str, Any], shapes: Shapes | None = None, *, fixed: bool = False
) -> list[str]:
    """Put a judged JSON tree into live generators in place, or change none of them.

    What the containers of the target have more, less or otherwise becomes what was saved: training changed it.

    Args:
        saved: the tree, by part: ``generators`` and the global ones.
        target: by the same parts, generators in their own containers.
        shapes: the types of the saved containers, where they are known.
        fixed: the container of ``generators`` itself is as the program built it: names and kinds are compared.

    Returns:
        One line for each place that is not as the target had it.

    Raises:
        BackendError: a place would have to be something else and cannot be; the message names it.
    """
    capture_tree({part: opened(tree) for part, tree in target.items()})  # says what is not a generator at all
    fitting = Fitting(build_tree(saved), shapes)  # what fails, fails on new objects, before the target is touched
    for part in sorted(saved):
        if fixed and part == "generators":
            fitting.fit_each(saved[part], target[part], (part,))
        else:
            fitting.fit(saved[part], target[part], (part,))
    for path, item, leaf in fitting.kept:
        why = live.refusal(item, leaf)
        if why is not None:
            raise BackendError(f"{place(path)}: {why}", hint="build it with the same seed, or load without a target")
    fitting.apply()
    # A sequence before the generators that spawn from it: these then find it as it shall be, and leave it alone.
    for _, item, leaf in sorted(fitting.kept, key=lambda kept: leaf_kind(kept[2]) != "seed-sequence"):
        live.put(item, leaf)
    return fitting.notes


def _replaced(tree: Any, change: Callable[[Path, Any], Any], path: Path = ()) -> Any:
    if isinstance(tree, dict):
        return {key: _replaced(item, change, (*path, key)) for key, item in tree.items()}
    if isinstance(tree, list):
        return [_replaced(item, change, (*path, index)) for index, item in enumerate(tree)]
    return change(path, tree)
