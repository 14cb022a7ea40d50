"""Program: LeRobot's own ``lerobot-train``, with the torch that is installed here: lerobot_train.py --OPTION=VALUE ...

Two things are made ready for it. The operators of torchvision's wheel want CUDA, and no training here calls them: the
two that it looks for are declared. LeRobot asks for transformers below 5, for its language models: it is told that
there is none.
"""

import os
import sys
from pathlib import Path

PACKAGES = Path(__file__).parents[2] / ".lerobot"
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false"}


def make_ready() -> None:
    """Make ``lerobot`` importable."""
    import torch

    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    sys.path.insert(0, str(PACKAGES))
    from lerobot.utils import import_utils

    import_utils._transformers_available = False


def main() -> None:
    """Train as the arguments say."""
    os.environ |= ENVIRONMENT
    make_ready()
    from lerobot.scripts import lerobot_train

    lerobot_train.main()


if __name__ == "__main__":
    main()
