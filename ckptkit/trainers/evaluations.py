"""The mean reward of an evaluation, from the ``evaluations.npz`` of Stable-Baselines3's ``EvalCallback``.

Source: stable_baselines3/common/callbacks.py (``EvalCallback._on_step``: ``timesteps``, ``results`` by episode, and
what it logs as ``eval/mean_reward``).
"""

from collections.abc import Mapping
from pathlib import Path

from ckptkit.errors import DamagedError
from ckptkit.formats.npz_numbers import rows_of
from ckptkit.trainers.interface import Seen

FILE = "evaluations.npz"
METRIC = "eval/mean_reward"

Metrics = Mapping[str, float]


def mean_reward(seen: Seen, step: int | None) -> tuple[Metrics, tuple[str, ...]]:
    """Return the mean reward of the evaluation at just this step, if there was one; and doubts.

    It lies beside the agents, in the one folder there that has such a file, or in the folder around them.
    """
    path = _nearest(seen)
    if path is None or step is None:
        return {}, ()
    try:
        arrays = rows_of(path, ("timesteps", "results"))
    except DamagedError as error:
        return {}, (f"{FILE}: cannot be read ({error.message})",)
    for at, rewards in zip(arrays["timesteps"], arrays["results"], strict=False):
        if at[0] == step:
            return {METRIC: sum(rewards) / len(rewards)}, ()
    return {}, ()


def _nearest(seen: Seen) -> Path | None:
    if FILE in seen.listing.files:
        return seen.folder / FILE
    below = [name for name in seen.listing.folders if seen.listing.has(f"{name}/{FILE}")]
    if len(below) == 1:
        return seen.folder / below[0] / FILE
    around = seen.folder.parent / FILE
    return around if not below and around.is_file() else None
