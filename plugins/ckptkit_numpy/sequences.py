"""Which generators draw their children from one SeedSequence: they would otherwise each spawn the same ones."""

from collections.abc import Sequence
from typing import Any

from ckptkit_numpy import live, live_trees
from ckptkit_numpy.trees import place


def shared(tree: Any) -> list[list[str]]:
    """Return the places of the generators that have one seed sequence together, for each such sequence."""
    found: dict[int, list[str]] = {}
    for name, leaf in _with_sequence(tree):
        found.setdefault(id(live.sequence_of(leaf)), []).append(name)
    return [names for names in found.values() if len(names) > 1]


def share(tree: Any, groups: Sequence[Sequence[str]]) -> list[str]:
    """Let the generators of a tree share their seed sequences as ``shared`` said; return one line for each change.

    Args:
        tree: the live generators, with their states put back.
        groups: places, by sequence; each other generator has its own.
    """
    group_of = {name: tuple(names) for names in groups for name in names}
    taken: dict[int, tuple[str, ...]] = {}
    chosen: dict[tuple[str, ...], Any] = {}
    notes = []
    for name, leaf in _with_sequence(tree):
        group, sequence = group_of.get(name, (name,)), live.sequence_of(leaf)
        wanted = chosen.get(group, sequence)
        if taken.setdefault(id(wanted), group) != group:
            wanted = live.copy_of_sequence(wanted)
            taken[id(wanted)] = group
        chosen.setdefault(group, wanted)
        if wanted is sequence:
            continue
        how = f"shares the seed sequence of {group[0]}" if len(group) > 1 else "has a seed sequence of its own"
        done = live.give_sequence(leaf, wanted)
        notes.append(f"{name}: {how}, as it had at the save" if done else f"{name}: {how} in the file, not here")
    return notes


def _with_sequence(tree: Any) -> list[tuple[str, Any]]:
    """Return the generators with a sequence of NumPy's, bare sequences first: these cannot be given another one."""
    found = [(place(path), leaf) for path, leaf in live_trees.live_leaves(tree)]
    known = [(name, leaf) for name, leaf in found if live.sequence_of(leaf) is not None]
    return sorted(known, key=lambda pair: live.kind_of(pair[1]) != "seed-sequence")
