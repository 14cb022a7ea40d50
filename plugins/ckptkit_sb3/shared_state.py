"""State that environments share: attributes of their classes, globals of the modules these stand in.

Which of them are state and which are definition cannot be told by looking. The self-test tells: those that change while
an environment plays are state.
"""

import hashlib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ckptkit.formats import strict_json
from ckptkit_sb3.encoding import Encoder
from ckptkit_sb3.levels import levels_of
from ckptkit_sb3.names import full_name, module_of

Name = tuple[str, str]
"""``class:package.module.Class`` or ``module:package.module``, and the name in it."""
_LIBRARIES = ("gymnasium", "stable_baselines3", "sb3_contrib", "ckptkit_sb3", "typing", "abc", "builtins", "?")
_CODE = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, property, staticmethod, classmethod)
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class _Owner:
    names: Mapping[str, Any]
    put: Callable[[str, Any], None]


def values(env: Any, names: Iterable[Name]) -> dict[str, dict[str, Any]]:
    """Return the values of some names outside an environment, by owner and name; those that are gone are left out."""
    owners = _owners(env)
    found: dict[str, dict[str, Any]] = {}
    for owner, name in names:
        if owner in owners and name in owners[owner].names:
            found.setdefault(owner, {})[name] = owners[owner].names[name]
    return found


def places(env: Any, saved: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Return which names outside an environment may be put back: data of owners that are here, never code."""
    owners = _owners(env)
    return {
        owner: [n for n in names if not n.startswith("__") and not isinstance(owners[owner].names.get(n), _CODE)]
        for owner, names in saved.items()
        if owner in owners
    }


def put(env: Any, saved: Mapping[str, Mapping[str, Any]]) -> None:
    """Put values back where ``values`` found them."""
    owners = _owners(env)
    for owner, named in saved.items():
        for name, value in named.items():
            owners[owner].put(name, value)


def classes_of(env: Any) -> dict[str, type]:
    """Return the classes that the modules of an environment know, by full name.

    Of these are made the objects that a fresh environment does not have yet (a board that ``reset`` lays out).
    """
    found = {}
    for owner, place in _owners(env).items():
        for value in list(place.names.values()) if owner.startswith("module:") else ():
            if isinstance(value, type):
                found[full_name(value)] = value
    return found


def snapshot(env: Any) -> dict[Name, str]:
    """Return a digest of every value outside an environment that could be state."""
    found = {}
    for owner, place in _owners(env).items():
        for name, value in list(place.names.items()):
            digest = None if name.startswith("__") or isinstance(value, _CODE) else _digest(value)
            if digest is not None:
                found[(owner, name)] = digest
    return found


def _digest(value: Any) -> str | None:
    if getattr(value, "nbytes", 0) > _LARGEST:
        return None
    arrays: dict[str, Any] = {}
    encoder = Encoder(arrays, "")
    hasher = hashlib.sha256(strict_json.dumps(encoder.encode(value, "")))
    for _, array in sorted(arrays.items()):
        hasher.update(array.tobytes())
    return None if encoder.left_out else hasher.hexdigest()


def _owners(env: Any) -> dict[str, _Owner]:
    found: dict[str, _Owner] = {}
    for kind in _classes(env):
        found[f"class:{full_name(kind)}"] = _Owner(vars(kind), partial(setattr, kind))
        for value in vars(kind).values():
            if isinstance(value, types.FunctionType) and value.__module__ == kind.__module__:
                names = value.__globals__
                found[f"module:{kind.__module__}"] = _Owner(names, names.__setitem__)
    return found


def _classes(env: Any) -> Iterator[type]:
    for level in levels_of(env):
        for kind in type(level).__mro__[:-1]:
            if module_of(kind).partition(".")[0] not in _LIBRARIES:
                yield kind
