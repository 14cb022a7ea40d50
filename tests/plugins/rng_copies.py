"""Copies of live generators, to look at later what they were."""

from typing import Any

from ckptkit_numpy import RngSnapshot, live_trees
from ckptkit_numpy.global_rng import is_global_item, live_tree_of


def snapshot(item: Any) -> RngSnapshot:
    return RngSnapshot(live_trees.duplicate_tree(live_tree_of(item)), is_global=is_global_item(item))
