"""What Stable-Baselines3 needs to continue from its own zip: the table of the ``sb3`` backend.

Source: stable_baselines3/common/base_class.py (``save``, ``load``, ``_excluded_save_params``), callbacks.py
(``CheckpointCallback``), off_policy_algorithm.py (``save_replay_buffer``).
"""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ckptkit.pieces import Piece, Trainer

ZIP = Trainer(
    "Stable-Baselines3, model.save",
    ("policy.pth",),
    (
        Piece("policy", ("policy.pth",), "load() fails", weights=True),
        Piece(
            "optimizer",
            ("*optimizer.pth",),
            "it starts over",
            when="data: a gradient is followed",
            weights=True,
        ),
        Piece(
            "replay buffer",
            ("*replay_buffer*.pkl",),
            "learning goes on from an empty one",
            when="data: replay_buffer_class",
        ),
        Piece(
            "VecNormalize",
            ("*vecnormalize*.pkl",),
            "its means and variances start over",
            when="data: VecNormalize was used",
        ),
        Piece("random generators", (), "SB3 saves none, and its load() takes the run's seed again"),
        Piece("environment state", (), "SB3 saves none, and learn() resets all environments"),
    ),
)

TRAINERS = (ZIP,)


def names(path: Path, data: Mapping[str, Any], files: Sequence[str]) -> list[str]:
    """Return what is there: the files, the members of the zip, and what its ``data`` says of the algorithm.

    Args:
        path: the zip.
        data: every value of its ``data``, decoded or not.
        files: of the item.
    """
    with zipfile.ZipFile(path) as archive:
        there = [*files, *archive.namelist()]
    off_policy = data.get("replay_buffer_class") is not None
    if off_policy:
        there.append("data: replay_buffer_class")
    elif data.get("_last_original_obs") is not None:  # off-policy algorithms set it without VecNormalize too
        there.append("data: VecNormalize was used")
    if "n_delta" not in data:  # ARS follows no gradient
        there.append("data: a gradient is followed")
    return there


def hazards(data: Mapping[str, Any], files: Sequence[str]) -> list[str]:
    """Return what is there but may make a resume differ, or cannot be known to be missing."""
    found = []
    if data.get("seed") is not None:
        found.append("SB3's own load() re-seeds with the seed of the run")
    pickles = [name for name in files if name.endswith(".pkl")]
    if pickles:
        found.append(f"{', '.join(pickles)}: a restore unpickles nothing; SB3's own load functions put it back")
    if any("replay_buffer" in name and name.endswith("_steps.pkl") for name in pickles):
        found.append("CheckpointCallback saves before the last step is stored: the replay buffer lacks that transition")
    if data.get("replay_buffer_class") is not None and not any("vecnormalize" in name for name in pickles):
        found.append("whether a VecNormalize was used cannot be told from the zip, and none lies beside it")
    return found
