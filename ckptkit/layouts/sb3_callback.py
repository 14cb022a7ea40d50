"""Stable-Baselines3: ``rl_model_100_steps.zip``, then its replay buffer and its statistics; and ``best_model.zip``.

Source: stable_baselines3/common/callbacks.py (``CheckpointCallback._checkpoint_path``, ``EvalCallback._on_step``).
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from ckptkit.layouts.foreign import Found, beside
from ckptkit.layouts.interface import Listing

BEST = "best_model.zip"
"""Written over with each new best."""
KINDS = ("replay_buffer", "vecnormalize")
"""What is written after the zip, in this order, where the callback was asked to."""
_ZIP = re.compile(r"(?P<prefix>.*)_(?P<steps>\d{1,18})_steps\.zip")


def prefix_and_steps(name: str) -> tuple[str, str] | None:
    """Return prefix and digits of a zip's name; None where the callback gives no such."""
    match = _ZIP.fullmatch(name)
    return (match["prefix"], match["steps"]) if match else None


def step_of(name: str) -> int | None:
    """Return the ``num_timesteps`` in a zip's name."""
    parts = prefix_and_steps(name)
    return int(parts[1]) if parts else None


def names_beside(name: str) -> Mapping[str, str]:
    """Return what the callback would call each further file of a zip, by kind."""
    parts = prefix_and_steps(name)
    return {kind: f"{parts[0]}_{kind}_{parts[1]}_steps.pkl" for kind in KINDS} if parts else {}


def steps_beside(kind: str, names: Iterable[str], prefix: str | None = None) -> Mapping[int, str]:
    """Return the files of a kind among the names, by step: of one prefix, or of all."""
    form = re.compile(rf"{'.*' if prefix is None else re.escape(prefix)}_{kind}_(\d{{1,18}})_steps\.pkl")
    return {int(match[1]): name for name in names if (match := form.fullmatch(name))}


class Sb3Callback:
    """The layout of ``CheckpointCallback`` and ``EvalCallback``: nothing marks the end, and no pointer is kept."""

    kind = "sb3_callback"

    def find(self, listing: Listing) -> Iterator[Found]:
        """Yield the zips, each with what lies beside it."""
        if BEST in listing.files:
            yield Found(BEST, (BEST,), pointers=(BEST,))
        for name in listing.files:
            if (step := step_of(name)) is not None:
                yield Found(name, (name, *beside(listing, tuple(names_beside(name).values()))), step)
