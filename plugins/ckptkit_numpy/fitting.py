"""Makes a tree of live generators one of the saved structure: what training added, removed or exchanged (ADR 0026).

What can stay stays, so that whoever holds it holds it still. All of it is decided before anything is changed.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from ckptkit.errors import BackendError
from ckptkit.formats.generator_states import is_leaf, leaf_kind
from ckptkit_numpy import containers, live
from ckptkit_numpy.containers import Shapes
from ckptkit_numpy.opening import Slot, opened, parts, slotted
from ckptkit_numpy.trees import Path, at, first_difference, place, title

_MISSING = object()
_HINT = "build the same generators as at the save, or load without a target"
_VALUES = ("jax-key", "plain-value")
_MOST_NOTES = 20


class Fitting:
    """How one tree becomes the other; ``apply`` does it.

    Args:
        new: new generators in the saved states, for the places where the target has none that could take them.
        shapes: the types of the saved containers, where they are known.

    Attributes:
        kept: (path, generator, saved leaf) where a state has yet to be put into a generator of the target.
    """

    def __init__(self, new: Any, shapes: Shapes | None) -> None:
        self.kept: list[tuple[Path, Any, Mapping[str, Any]]] = []
        self._new, self._shapes = new, shapes
        self._reseated: list[tuple[Any, Any, Mapping[str, Any]]] = []
        self._fills: list[Any] = []
        self._notes: list[str] = []
        self._there: dict[Path, Any] = {}
        self._taken: dict[int, Any] = {}
        self._contents: dict[int, list[tuple[Any, Any]]] = {}

    @property
    def notes(self) -> list[str]:
        """One line for each place that is not as the program built it; of very many, the first and how many more."""
        more = len(self._notes) - _MOST_NOTES
        return [*self._notes[:_MOST_NOTES], *([f"and {more} more places"] if more > 0 else [])]

    def fit(self, saved: Any, target: Any, path: Path, *, held: bool = False, owner: Any = None) -> Any:
        """Return what is going to stand at a place: what the target has there, or something new.

        Args:
            saved: the judged JSON tree there.
            target: what the target has there.
            path: the place.
            held: something else can be put in its place, which cannot be at a root nor in a tuple that is one.
            owner: the container that it is in.

        Raises:
            BackendError: it would have to be something else and cannot be; nothing was changed.
        """
        if is_leaf(saved):
            stands = self._leaf(saved, slotted(target, owner, path[-1]), path, held)
        else:
            stands = self._container(saved, target, path, held)
        self._there[path] = stands
        return stands

    def fit_each(self, saved: Mapping[str, Any], target: Mapping[str, Any], path: Path) -> None:
        """Fit what stands under each name, where no name can be added, removed or given to something else.

        Raises:
            BackendError: the names differ, or something would have to be something else; nothing was changed.
        """
        if set(saved) != set(target):
            raise self._refusal(saved, target, path)
        for name in sorted(saved):
            self.fit(saved[name], target[name], (*path, name), owner=target)

    def apply(self) -> None:
        """Change the target; states in ``kept`` are still to be put."""
        for item, new, leaf in self._reseated:
            live.reseat(item, new, leaf)
        for fill in self._fills:
            fill()

    def _leaf(self, leaf: Mapping[str, Any], target: Any, path: Path, held: bool) -> Any:
        if leaf_kind(leaf) == "same-as":
            return self._instead(self._there[tuple(leaf["path"])], leaf, target, path, held)
        new = at(self._new, path)
        kind = live.kind_of(target)
        if kind is None:
            return self._instead(new, leaf, target, path, held)
        has = live.capture(target)
        if leaf_kind(leaf) in _VALUES and title(has) == title(leaf):
            return target.value if has == leaf else new
        if id(target) not in self._taken and not isinstance(target, Slot):
            if title(has) == title(leaf):
                self._taken[id(target)] = target
                self.kept.append((path, target, leaf))
                return target
            # The generators of the process are not in a container: numpy.random.set_bit_generator reseats one.
            if (held or path[0] != "generators") and kind == leaf_kind(leaf) and kind in live.RESEATED:
                self._taken[id(target)] = target
                self._reseated.append((target, new, leaf))
                self._notes.append(f"{place(path)}: is {title(leaf)} in place, where the program builds {title(has)}")
                return target
        return self._instead(new, leaf, target, path, held)

    def _container(self, saved: Any, target: Any, path: Path, held: bool) -> Any:
        found: Any = None if target is _MISSING else parts(target)
        has = dict(enumerate(found)) if isinstance(found, list) else found or {}
        wants = dict(enumerate(saved)) if isinstance(saved, list) else saved
        kept = found is not None and containers.fits(target, saved)
        cls = type(target) if kept else None
        if held and (other := self._other_type(saved, target, path, kept)) is not None:
            cls, kept = other, False
        if cls is None:
            raise self._refusal(saved, target, path)
        below = held if kept and isinstance(target, tuple) else True
        content = {
            key: self.fit(wants[key], has.get(key, _MISSING), (*path, key), held=below, owner=target)
            for key in sorted(wants)
        }
        for key in (key for key in has if key not in wants):
            told = f"{place((*path, key))}: {said_of(has[key])} was removed, the checkpoint has nothing there"
            self._notes.append(f"{told}; what else holds it was not put back")
        by_field = kept and isinstance(found, dict) and not isinstance(target, dict)
        content = {key: content[key] for key in (has if by_field else self._order(list(has), content, path))}
        return self._filled(target, content, saved, path, held) if kept else containers.make(cls, content)

    def _other_type(self, saved: Any, target: Any, path: Path, kept: bool) -> type | None:
        """Return the type that must take the place of the target's container, which may be none; None: it stays.

        Raises:
            BackendError: it cannot stay, and what it was at the save cannot be made here.
        """
        if self._shapes is None:
            name = "list" if isinstance(saved, list) else "dict"
        else:
            name = self._shapes.name_at(path, saved)
        if kept and (self._shapes is None or containers.said(name) == containers.said(containers.name_of(target))):
            return None
        cls = containers.find(name, saved)
        if cls is None and kept:
            has = containers.said(containers.name_of(target))
            self._notes.append(f"{place(path)}: stays a {has}, at the save it was a {containers.said(name)}")
        elif cls is None or _loses_values(cls, saved):
            text = f"{place(path)}: was a {containers.said(name)} at the save, and this process has no such class"
            raise BackendError(text, hint=f"import {name.replace(':', '.')} before the restore, or {_HINT}")
        elif target is not _MISSING:
            self._notes.append(f"{place(path)}: a {containers.said(name)} took the place of {said_of(target)}")
        return cls

    def _filled(self, target: Any, content: dict[Any, Any], saved: Any, path: Path, held: bool) -> Any:
        """Return the container with this content: itself, or another where it cannot be changed or is elsewhere too."""
        now = parts(target)
        before = list(now.items()) if isinstance(now, dict) else list(enumerate(now or ()))
        after = list(content.items())
        elsewhere = self._contents.get(id(target))
        if isinstance(target, tuple) or (elsewhere is not None and not _same(elsewhere, after)):
            if isinstance(target, tuple) and _same(before, after):
                return target
            if not held:
                raise self._refusal(saved, target, path)
            return containers.like(target, content)
        self._contents[id(target)] = after
        if elsewhere is None and not _same(before, after):
            self._fills.append(partial(containers.fill, target, content))
        return target

    def _order(self, has: list[Any], content: Mapping[Any, Any], path: Path) -> list[Any]:
        if self._shapes is not None and all(isinstance(key, str) for key in content):
            return list(self._shapes.order_at(path, content))
        return [*(key for key in has if key in content), *(key for key in content if key not in has)]

    def _instead(self, new: Any, leaf: Mapping[str, Any], target: Any, path: Path, held: bool) -> Any:
        """Return the other object for a place that holds one which cannot become it."""
        if new is target:
            return new
        if not held:
            raise self._refusal(leaf, target, path)
        if target is _MISSING:
            self._notes.append(f"{place(path)}: {title(leaf)} was added, the program builds nothing there")
        else:
            told = f"{place(path)}: {title(leaf)} took the place of {said_of(target)}"
            self._notes.append(f"{told}; what else holds that was not put back")
        return new

    def _refusal(self, saved: Any, target: Any, path: Path) -> BackendError:
        found = first_difference(saved, None if target is _MISSING else _captured(opened(target)), path)
        return BackendError(found or f"{place(path)}: nothing else can be put in its place", hint=_HINT)


def said_of(item: Any) -> str:
    """Return what a live item is in words: a generator, or the type of a container."""
    if (kind := live.kind_of(item)) is not None and not isinstance(item, Slot):
        name, device = type(live.bits_of(item)).__name__, getattr(item, "device", None)
        return title({"kind": kind, "bit_generator": name, "device": device})
    if isinstance(item, Slot):
        return "a JAX key" if kind == "jax-key" else "a plain value"
    return f"a {containers.said(containers.name_of(item))}"


def _captured(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _captured(item) for key, item in tree.items()}
    return [_captured(item) for item in tree] if isinstance(tree, list) else live.capture(tree)


def _same(one: list[tuple[Any, Any]], other: list[tuple[Any, Any]]) -> bool:
    return len(one) == len(other) and all(a == b and x is y for (a, x), (b, y) in zip(one, other, strict=True))


def _loses_values(cls: type, saved: Any) -> bool:
    """Return whether a plain dict would have to hold what only a dataclass may."""
    children = saved.values() if isinstance(saved, Mapping) else ()
    return issubclass(cls, dict) and any(is_leaf(node) and leaf_kind(node) == "plain-value" for node in children)
