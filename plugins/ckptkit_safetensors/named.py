"""Finds functions and classes by name, in modules that are imported already and that the model comes from.

A name from a file must not lead anywhere else: what it leads to is put into a model, which may call it.
"""

import sys
from collections.abc import Collection, Iterable
from typing import Any

from ckptkit_safetensors.not_state import is_installed

MAIN = "__main__"
_OF_TORCH = ("torch.nn.functional", "torch.nn.modules")


def homes_of(roots: Iterable[Any]) -> set[str]:
    """Return the modules of Python that the classes of the user's own modules come from."""
    classes = [type(module) for root in roots for module in root.modules()]
    return {cls.__module__ for cls in classes if not is_installed(cls)}


def name_of(value: Any, homes: set[str], imported: Collection[str] | None = None) -> str | None:
    """Return the name by which ``find`` will find the very same object, or None."""
    own, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    short = getattr(value, "__name__", None) or str(value).rpartition(".")[2]  # a dtype has no name
    for text in (f"{own}:{name}", f"torch.nn.functional:{short}", f"torch:{short}"):
        if find(text, homes, imported) is value:
            return text
    return None


def find(name: str, homes: set[str], imported: Collection[str] | None = None) -> Any:
    """Return what has the name ``module:QualifiedName``, or None if it is nowhere where it may be looked for.

    Args:
        name: of a function, class or dtype.
        homes: modules of Python that the model comes from; only in their packages, and in torch, it may be.
        imported: names of the only modules that may be looked into; None for all that are imported.
    """
    home, _, qualified = name.partition(":")
    packages = {own.partition(".")[0] for own in homes}
    if home == "torch" or home.startswith(_OF_TORCH):
        found = _walk(sys.modules.get(home), qualified.split("."))
        return found if home != "torch" or type(found).__name__ in ("dtype", "builtin_function_or_method") else None
    if imported is not None and home not in imported and MAIN not in homes:
        return None
    where = [home] if home.partition(".")[0] in packages else sorted(homes) if MAIN in {home, *homes} else []
    return next((found for own in where if (found := _walk(sys.modules.get(own), qualified.split(".")))), None)


def _walk(found: Any, names: list[str]) -> Any:
    for name in names:
        found = vars(found).get(name) if hasattr(found, "__dict__") else None
    return found
