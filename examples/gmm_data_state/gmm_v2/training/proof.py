"""Build the trainer's model and optimizer anew, so that `ckptkit verify --level resume` can prove they load.

``ckptkit verify RUN --latest --level resume --factory policy.model=gmm_v2.training.proof:policy``, in the folder of the
example; ``GMM_CONFIG`` names the YAML file if it is not ``config.yaml``.
"""

import os
from pathlib import Path
from typing import Any

from gmm_v2.config import load_config
from gmm_v2.training.trainer import Trainer


def policy() -> Any:
    """Return a Policy of the configuration, in no particular state."""
    return Trainer(load_config(Path(os.environ.get("GMM_CONFIG", "config.yaml")))).items()["policy"]
