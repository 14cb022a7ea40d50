"""Program: trainings by RL Zoo's own ``rl_zoo3.train``, also such as are killed in a save: rl_zoo_trainings.py DIR.

Each trains in DIR/NAME, with ``-f out``. Importing takes longer than all of them together, so each is a fork.
"""

import os
import sys
from pathlib import Path

import all_trainings
import killed_in_save

HYPERPARAMETERS = """\
Pendulum-v1:
  policy: MlpPolicy
  normalize: true
  n_timesteps: 64
  n_steps: 16
  batch_size: 16
  policy_kwargs: dict(net_arch=[4])
"""
ARGUMENTS = "--algo ppo --env Pendulum-v1 -conf mine.yml -f out --seed 1 --save-freq 16 --eval-freq 32 --n-eval-envs 1"
KILLED = ("killed_periodic", "killed_last")


def train(folder: Path) -> None:
    """Train for 64 steps, and save every 16 and in the end."""
    from rl_zoo3 import train

    os.chdir(folder.parent)
    Path("mine.yml").write_text(HYPERPARAMETERS)
    sys.argv = ["train.py", *ARGUMENTS.split(), "--eval-episodes", "1", "--device", "cpu"]
    train.train()


def killed(folder: Path) -> None:
    """Train, and die half-way in the save of step 32, or in the last one."""
    from stable_baselines3.common.base_class import BaseAlgorithm

    save, last = BaseAlgorithm.save, folder.parent.name == "killed_last"

    def limited(self: BaseAlgorithm, path: str) -> None:
        if str(path).endswith("Pendulum-v1" if last else "32_steps.zip"):
            killed_in_save.kill_beyond(10_000)
        save(self, path)

    BaseAlgorithm.save = limited  # type: ignore[method-assign]
    train(folder)


def main(root: Path) -> None:
    """Train all; fail if one fails, or if one that is to be killed is not."""
    import rl_zoo3.train  # noqa: F401

    for name in ("whole", *KILLED):
        ended = all_trainings.forked(root, name, killed if name in KILLED else train)
        if (ended < 0) != (name in KILLED):
            sys.exit((root / name / "said").read_text() + f"{name}: ended with {ended}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
