"""The SB3 trainer as the tests use it: where it is, a small training, and its digest."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "sb3_trainer"
sys.path.insert(0, str(EXAMPLE))

SMALL: dict[str, Any] = {
    "total_timesteps": 900,
    "checkpoint_interval_episodes": 10,
    "agent_kwargs": {"n_steps": 256, "n_epochs": 2},
}


def run(folder: Path, run_id: str, fields: Mapping[str, Any] = SMALL, **more: Any) -> str:
    """Train in this process; return the digest."""
    from training.agent import digest
    from training.trainer import train

    _, model = train({"checkpoint_dir": str(folder), "run_id": run_id, **fields}, **more)
    return digest(model)
