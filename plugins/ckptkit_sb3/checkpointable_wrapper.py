"""The wrapper behind ``checkpointable``. Importing it imports gymnasium."""

from typing import Any

import gymnasium
import numpy as np


class Checkpointable(gymnasium.Wrapper):  # type: ignore[misc]  # gymnasium is optional: its classes are Any for mypy
    """Answers for the environment inside it; keeps the log of actions if asked to.

    Args:
        factory: the ``EnvFactory`` that makes it.
    """

    env: Any
    ckptkit_no_state = ("ckptkit_factory",)
    ckptkit_saved_as = "ckptkit_sb3.wrapper._build_class.<locals>.Checkpointable"
    """Its name in checkpoints: where it stood when the first of them were written."""

    def __init__(self, factory: Any) -> None:
        super().__init__(factory.factory())
        self.ckptkit_factory = factory
        self.ckptkit_log: list[Any] | None = None  # None: no reset with a seed yet, or given up
        self.ckptkit_seed: int | None = None
        self._used = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Reset; with a seed in a new copy of the environment, because some keep state over resets."""
        if seed is not None:
            if self._used:
                self.env.close()
                self.env = self.ckptkit_factory.factory()
            self.ckptkit_seed = seed
            self.ckptkit_log = [] if self.ckptkit_factory.replay and not options else None
        elif options:
            self.ckptkit_log = None
        elif self.ckptkit_log is not None:
            self.ckptkit_log.append(None)
        self._used = True
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        """Step, and note the action."""
        self._used = True
        if self.ckptkit_log is not None:
            self.ckptkit_log.append(np.array(action))
            if len(self.ckptkit_log) > self.ckptkit_factory.longest:
                self.ckptkit_log = None
        return self.env.step(action)
