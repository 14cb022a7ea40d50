"""Program: trainings by LeRobot, also such as are killed in a save, on a tiny dataset: lerobot_trainings.py DIR.

Each trains in DIR/NAME/out/run. Importing takes longer than all of them together, so each is a fork.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import all_trainings
import killed_in_save
import lerobot_train

FEATURES = ("observation.state", "observation.environment_state", "action")
KILLED = ("killed_model", "killed_optimizer", "killed_before_last")


def record(root: Path) -> None:
    """Record two episodes of eight frames."""
    import numpy as np
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    features: dict[str, Any] = {name: {"dtype": "float32", "shape": (2,), "names": None} for name in FEATURES}
    dataset = LeRobotDataset.create("me/tiny", fps=10, features=features, root=root, use_videos=False)
    numbers = np.random.default_rng(0)
    for _ in range(2):
        for _ in range(8):
            dataset.add_frame({name: numbers.random(2, "float32") for name in FEATURES} | {"task": "push"})
        dataset.save_episode()
    dataset.finalize()


def train(folder: Path) -> None:
    """Train to step 8, and save at 4 and 8."""
    from lerobot.configs.default import DatasetConfig
    from lerobot.configs.train import TrainPipelineConfig
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.scripts import lerobot_train

    layers = {"dim_model": 8, "n_heads": 2, "dim_feedforward": 8, "n_encoder_layers": 1, "n_vae_encoder_layers": 1}
    policy = ACTConfig(device="cpu", push_to_hub=False, chunk_size=4, n_action_steps=4, **layers)
    dataset = DatasetConfig("me/tiny", root=str(folder.parents[1] / "dataset"))
    run = {"steps": 8, "save_freq": 4, "log_freq": 1, "batch_size": 2, "num_workers": 0, "output_dir": folder / "run"}
    sys.argv = ["lerobot-train"]  # it looks there, too
    lerobot_train.train(TrainPipelineConfig(dataset, policy=policy, **run))


def killed(folder: Path) -> None:
    """Train, and die in the second save: in a file of it, or when all is written and ``last`` still to be moved."""
    from lerobot.scripts import lerobot_train

    save, move, at = lerobot_train.save_checkpoint, lerobot_train.update_last_checkpoint, folder.parent.name
    first = folder / "run/checkpoints/000004"

    def limited(**what: Any) -> None:
        if what["step"] == 8 and at != "killed_before_last":
            model = (first / "pretrained_model/model.safetensors").stat().st_size
            optimizer = (first / "training_state/optimizer_state.safetensors").stat().st_size
            killed_in_save.kill_beyond(model // 2 if at == "killed_model" else (model + optimizer) // 2)
        save(**what)

    def moved(to: Path) -> Any:
        return move(to) if to.name == first.name else os.kill(os.getpid(), signal.SIGKILL)

    lerobot_train.save_checkpoint, lerobot_train.update_last_checkpoint = limited, moved
    train(folder)


def main(root: Path) -> None:
    """Train all; fail if one fails, or if one that is to be killed is not."""
    lerobot_train.make_ready()
    from lerobot.scripts import lerobot_train as _  # noqa: F401

    record(root / "dataset")
    for name in ("whole", *KILLED):
        ended = all_trainings.forked(root, name, killed if name in KILLED else train)
        if (ended < 0) != (name in KILLED):
            sys.exit((root / name / "said").read_text() + f"{name}: ended with {ended}")


if __name__ == "__main__":
    os.environ |= lerobot_train.ENVIRONMENT | {"HF_HOME": f"{sys.argv[1]}/home"}
    main(Path(sys.argv[1]))
