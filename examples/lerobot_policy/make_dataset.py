"""Makes a LeRobot dataset from real gymnasium rollouts of a scripted controller.

python make_dataset.py ./output --env-id Pendulum-v1 --episodes 20
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from ckptkit_data.writing import Recording, write_dataset

from ckptkit import CkptkitError, UsageError

TASKS = {"Pendulum-v1": "swing the pendulum up and hold it", "CartPole-v1": "balance the pole"}


def make_dataset(
    root: str | Path,
    env_id: str = "Pendulum-v1",
    episodes: int = 20,
    layout: Literal["v3.0", "v2.1"] = "v3.0",
    seed: int = 0,
    fps: float | None = None,
    *,
    validation: int = 0,
    max_steps: int = 200,
    noise: float = 0.1,
    robot_type: str | None = None,
) -> Path:
    """Record episodes and write them as a LeRobot dataset.

    Args:
        root: new or empty folder.
        env_id: an environment with flat observations; Pendulum and CartPole have a controller, others act at random.
        episodes: how many.
        layout: ``v3.0`` or ``v2.1``.
        seed: of the first episode; each further one gets the next number.
        fps: frames per second; the environment's own ``render_fps`` if left out.
        validation: so many of the last episodes are the split ``val``.
        max_steps: longest episode, in frames.
        noise: how often the controller explores instead, from 0 to 1: states off its path are seen too.
        robot_type: as `meta/info.json` has it; the environment's name if left out.

    Returns:
        The folder.

    Raises:
        UsageError: a number makes no sense.
        ConflictError: the folder is not empty.
    """
    import gymnasium as gym

    if episodes < 1 or not 0 <= validation < episodes:
        raise UsageError("episodes must be at least 1, and more than validation", hint="for example 20 and 4")
    env = gym.make(env_id)
    try:
        rate = float(fps or env.metadata.get("render_fps") or 30)
        recordings = (_rollout(env, env_id, seed + n, max_steps, noise) for n in range(episodes))
        splits = {"train": f"0:{episodes - validation}"}
        if validation:
            splits["val"] = f"{episodes - validation}:{episodes}"
        return write_dataset(
            Path(root),
            recordings,
            fps=rate,
            layout=layout,
            robot_type=robot_type or env_id,
            splits=splits,
        )
    finally:
        env.close()


def _rollout(env: Any, env_id: str, seed: int, max_steps: int, noise: float) -> Recording:
    import numpy as np

    rng = np.random.default_rng(seed)
    env.action_space.seed(seed)
    act = CONTROLLERS.get(env_id)
    columns: dict[str, list[Any]] = {"observation.state": [], "action": [], "next.reward": [], "next.done": []}
    for observation, action, reward, done in _steps(env, seed, max_steps, act, rng, noise):
        columns["observation.state"].append(np.asarray(observation, np.float32).reshape(-1))
        columns["action"].append(np.asarray(action).reshape(-1))
        columns["next.reward"].append(reward)
        columns["next.done"].append(done)
    arrays = {
        name: np.stack(v) if name in ("observation.state", "action") else np.array(v) for name, v in columns.items()
    }
    arrays["next.reward"] = arrays["next.reward"].astype(np.float32)
    if arrays["action"].dtype.kind == "f":
        arrays["action"] = arrays["action"].astype(np.float32)
    return Recording(arrays, TASKS.get(env_id, f"act in {env_id}"))


def _steps(
    env: Any, seed: int, max_steps: int, act: Callable[[Any], Any] | None, rng: Any, noise: float
) -> Iterator[tuple[Any, Any, float, bool]]:
    observation, _ = env.reset(seed=seed)
    for step in range(max_steps):
        action = env.action_space.sample() if act is None or rng.random() < noise else act(observation)
        following, reward, terminated, truncated, _ = env.step(action)
        done = bool(terminated or truncated or step + 1 == max_steps)
        yield observation, action, float(reward), done
        if done:
            return
        observation = following


def swing_up(observation: Any) -> Any:
    """Return the torque for Pendulum-v1: pump energy until the pendulum is near the top, then hold it there."""
    import numpy as np

    x, y, speed = (float(v) for v in observation)
    angle = math.atan2(y, x)
    if x > 0.9 and abs(speed) < 3:
        torque = -12.0 * angle - 3.0 * speed
    else:
        # Rod of mass and length 1, g = 10: energy relative to standing still at the top.
        energy = speed * speed / 6 + 5 * (x - 1)
        torque = -2.0 * math.copysign(1, energy) * math.copysign(1, speed if speed else 1.0)
    return np.array([max(-2.0, min(2.0, torque))], np.float32)


def balance(observation: Any) -> int:
    """Return the push for CartPole-v1: towards the side to which the pole falls, and the cart drifts."""
    position, velocity, angle, spin = (float(v) for v in observation)
    return int(angle + 0.5 * spin + 0.03 * position + 0.08 * velocity > 0)


CONTROLLERS: dict[str, Callable[[Any], Any]] = {"Pendulum-v1": swing_up, "CartPole-v1": balance}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="new or empty folder")
    parser.add_argument("--env-id", default="Pendulum-v1")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--layout", choices=("v3.0", "v2.1"), default="v3.0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fps", type=float)
    parser.add_argument("--validation", type=int, default=0, help="how many of the last episodes are the split val")
    args = parser.parse_args()
    try:
        root = make_dataset(
            args.root, args.env_id, args.episodes, args.layout, args.seed, args.fps, validation=args.validation
        )
    except CkptkitError as error:
        print(f"make_dataset: {error.message}\n  {error.hint}", file=sys.stderr)
        return error.exit_code
    print(f"wrote {args.episodes} episodes of {args.env_id} to {root}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
