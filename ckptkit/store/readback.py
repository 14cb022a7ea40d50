"""Read-back: right after a restore, digest every part of each live item again and compare with what was saved.

It sees a part that was saved but not put back; it cannot see what was never captured (probes and observation do).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ckptkit import registry
from ckptkit.backend import SupportsComparison, SupportsDigests
from ckptkit.manifest.models import ItemEntry, Manifest

Differing = Callable[[SupportsComparison, str, Collection[str]], Collection[str]]


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What a read-back found.

    Attributes:
        compared: names of the items of which at least one part was compared.
        differences: one line for each item that has a part which is not what was saved.
    """

    compared: Sequence[str]
    differences: Sequence[str]


def read_back(manifest: Manifest, items: Mapping[str, Any], differing: Differing) -> ReadBack:
    """Compare the parts of restored items with what was saved.

    Args:
        manifest: of the checkpoint that was restored.
        items: the live objects that the state was put into, by item name; those that are None are left out.
        differing: asks a backend that can compare value by value, which of an item's parts really differ.
    """
    compared, lines = [], []
    for name, item in items.items():
        saved = recorded(manifest.items[name])
        backend = registry.get(manifest.items[name].backend)
        if item is None or not saved or not isinstance(backend, SupportsDigests) or not backend.can_save(item):
            continue
        by_value = isinstance(backend, SupportsComparison)
        if manifest.items[name].format_version != backend.format_version and not by_value:
            continue  # what its digests are taken of may have changed with the format
        now = backend.digests(item)
        # A target may ask for less than was saved (the bare module of a policy): what it has must be equal.
        changed = sorted(part for part in saved if part in now and now[part] != saved[part])
        if changed and isinstance(backend, SupportsComparison):
            changed = sorted(differing(backend, name, changed))
        if any(part in now for part in saved):
            compared.append(name)
        if changed:
            lines.append(f"item {name!r}: {', '.join(changed)} is not what was saved")
    return ReadBack(compared, lines)


def recorded(item: ItemEntry) -> Mapping[str, str]:
    """Return the digests of the parts of an item at its save; empty when no probe was recorded."""
    digests = (item.probe or {}).get("digests", {})
    return digests if isinstance(digests, Mapping) else {}


def live_digests(items: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the digests of the parts of live items, by item name, without items whose backend cannot digest them."""
    found: dict[str, dict[str, str]] = {}
    for name, item in items.items():
        backend = registry.for_object(item, name=name)
        if isinstance(backend, SupportsDigests):
            found[name] = dict(backend.digests(item))
    return found
