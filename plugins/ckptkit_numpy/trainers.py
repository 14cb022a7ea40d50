"""What a file of generator states needs for its program to go on: the table of the ``numpy-rng`` backend."""

from collections.abc import Mapping
from typing import Any

from ckptkit.formats.generator_states import leaf_kind
from ckptkit.pieces import Piece, Trainer
from ckptkit_numpy.trees import leaves

DUMPED = Trainer(
    "JSON of bit_generator.state",
    ("state",),
    (
        Piece("state", ("state",), "nothing can be resumed"),
        Piece(
            "seed sequence",
            ("seed_seq",),
            "spawn() would start over with the same children; numpy.random puts none into .state",
            when="generator",
        ),
    ),
)
"""What is looked for are fields; a RandomState has no seed sequence and needs none."""

TRAINERS = (DUMPED,)


def names(tree: Mapping[str, Any]) -> list[str]:
    """Return the fields that the generators of a file have, each only where all that need it have it."""
    generators = [leaf for leaf in leaves(tree).values() if leaf_kind(leaf) in ("generator", "bit-generator")]
    whole = all(leaf.get("seed_seq") is not None for leaf in generators)
    return ["state", *(["generator"] if generators else []), *(["seed_seq"] if whole else [])]
