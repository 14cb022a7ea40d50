"""What differs between two checkpoints, of one run or of two: what their manifests say, their files, their tensors."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ckptkit.formats.tensor_changes import Change
from ckptkit.manifest.models import FileEntry, ItemEntry, Manifest
from ckptkit.storage import Entry
from ckptkit.store.file_pairs import pairs
from ckptkit.store.tensor_pairs import TensorPairs, Unread

Kind = Literal["metric", "counter", "config", "environment", "item", "file", "tensor"]
How = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs; JSON values only, but for ``change``.

    Attributes:
        kind: what it is.
        how: ``added`` is in the second checkpoint only, ``removed`` in the first only.
        name: of the metric, counter, setting, item or tensor; of a file its path.
        item: the item that a file or a tensor belongs to.
        a: what it is in the first; None where it is not there.
        b: what it is in the second.
        change: of tensors whose numbers were compared: by how much they differ.
    """

    kind: Kind
    how: How
    name: str
    item: str = ""
    a: Any = None
    b: Any = None
    change: Change | None = None


@dataclass(slots=True)
class Comparison:
    """What was found between two checkpoints.

    Attributes:
        a: the first.
        b: the second.
        differences: in the order of ``Kind``, files and tensors by item.
        same_files: how many files have the same digest, or proved to be equal.
        same_tensors: how many tensors in other files are equal.
        unread_tensors: how many were not compared, as that was not asked for.
        unread: files that could not be read: what is in them is not compared.
    """

    a: Entry
    b: Entry
    differences: list[Difference] = field(default_factory=list)
    same_files: int = 0
    same_tensors: int = 0
    unread_tensors: int = 0
    unread: list[Unread] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two checkpoints."""

    at: Entry
    manifest: Manifest


def compare(
    a: Side, b: Side, *, values: bool = True, expect: Callable[[int], None], on_bytes: Callable[[int], None]
) -> Comparison:
    """Return what differs between two checkpoints.

    What has the same digest is the same, and is not read.

    Args:
        a: the first.
        b: the second.
        values: also read tensors that their headers do not tell apart, and say by how much they differ.
        expect: told how many bytes of tensors will be read.
        on_bytes: called with the size of each block that was read.
    """
    found = Comparison(a.at, b.at)
    found.differences += _numbers("metric", a.manifest.metrics, b.manifest.metrics)
    found.differences += _numbers("counter", a.manifest.counters, b.manifest.counters)
    found.differences += _settings("config", a.manifest.config, b.manifest.config)
    environments = (one.manifest.environment.plain() for one in (a, b))
    found.differences += _settings("environment", *environments)
    waiting = []
    for name in {**a.manifest.items, **b.manifest.items}:
        one, other = a.manifest.items.get(name), b.manifest.items.get(name)
        if one is None or other is None or _facts(one) != _facts(other):
            found.differences.append(_of("item", name, one and _facts(one), other and _facts(other)))
        waiting.append(_files(found, a, b, name))
    expect(sum(one.expected for one in waiting) if values else 0)
    for tensors in waiting:
        for name, place_a, place_b, change in tensors.compared(values=values, on_bytes=on_bytes):
            found.differences.append(_of("tensor", name, place_a, place_b, item=tensors.item, change=change))
        found.same_tensors += tensors.same
        found.unread_tensors += tensors.left
        found.unread += tensors.unread
    return found


def _files(found: Comparison, a: Side, b: Side, item: str) -> TensorPairs:
    """Note which files of an item differ, and return the tensors in these."""
    sides = [(one.manifest.items[item].files if item in one.manifest.items else []) for one in (a, b)]
    tensors = TensorPairs(item, a.at, b.at)
    for one, other in pairs(sides[0], sides[1], a.manifest.step, b.manifest.step):
        if one is not None and other is not None and tensors.same_file(one, other):
            found.same_files += 1
            continue
        name = other.path if one is None else one.path  # type: ignore[union-attr]  # one of the two is there
        found.differences.append(_of("file", name, one and _file(one), other and _file(other), item=item))
        tensors.add(one, other)
    return tensors


def _file(file: FileEntry) -> dict[str, Any]:
    return {"path": file.path, "size": file.size, "digest": file.digest}


def _facts(item: ItemEntry) -> dict[str, Any]:
    return {"backend": item.backend, "format_version": item.format_version, "captured": item.captured.grade}


def _numbers(kind: Kind, a: Mapping[str, float], b: Mapping[str, float]) -> Iterator[Difference]:
    for name in {**a, **b}:
        one, other = a.get(name), b.get(name)
        both_nan = one is not None and other is not None and math.isnan(one) and math.isnan(other)
        if one != other and not both_nan:
            yield _of(kind, name, one, other)


def _settings(kind: Kind, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Difference]:
    one, other = dict(_flat("", a)), dict(_flat("", b))
    for name in {**one, **other}:
        if one.get(name) != other.get(name):
            yield _of(kind, name, one.get(name), other.get(name))


def _flat(prefix: str, value: Any) -> Iterable[tuple[str, Any]]:
    if not isinstance(value, dict) or not value:
        yield prefix, value
        return
    for name, inner in value.items():
        yield from _flat(f"{prefix}.{name}" if prefix else name, inner)


def _of(kind: Kind, name: str, a: Any, b: Any, *, item: str = "", change: Change | None = None) -> Difference:
    how: How = "added" if a is None else "removed" if b is None else "changed"
    return Difference(kind, how, name, item, a, b, change)
