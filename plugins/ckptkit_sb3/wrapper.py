"""A wrapper for environment factories: a log of actions to replay, rebuilding at a seed.

For environments whose state cannot be read: they are brought back by doing again what was done since the last reset
with a seed::

    env = DummyVecEnv([checkpointable(lambda: gym.make("LunarLander-v3"), replay=True)])
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

DEFAULT_LOG = 100_000


@dataclass(frozen=True, slots=True)
class EnvFactory:
    """A factory of wrapped environments; picklable when the inner factory is.

    Attributes:
        factory: builds the environment; called again for self-tests, and at each reset with a seed.
        replay: whether to keep the log of actions.
        longest: actions in the log beyond which it is given up (replaying takes as long as it took to play).
    """

    factory: Callable[[], Any]
    replay: bool = False
    longest: int = DEFAULT_LOG

    def __call__(self) -> Any:
        """Return a fresh, wrapped environment."""
        return _wrapper_class()(self)


def checkpointable(factory: Callable[[], Any], *, replay: bool = False, longest: int = DEFAULT_LOG) -> EnvFactory:
    """Return a factory whose environments are rebuilt at a reset with a seed, and can be replayed from there.

    Args:
        factory: builds one environment, without touching files.
        replay: keep a log of the actions since the last reset with a seed, for environments that cannot be read.
        longest: length of the log beyond which it is given up.
    """
    return EnvFactory(factory, replay, longest)


_CLASSES: list[type] = []


def _wrapper_class() -> Any:
    if not _CLASSES:
        _CLASSES.append(_build_class())
    return _CLASSES[0]


def _build_class() -> type:  # noqa: C901  # a class in a function: gymnasium may not be imported at module level
    import gymnasium
    import numpy as np

    class Checkpointable(gymnasium.Wrapper):  # type: ignore[misc]  # gymnasium is optional: its classes are Any for mypy
        """Answers for the environment inside it; keeps the log of actions if asked to."""

        env: Any
        ckptkit_no_state = ("ckptkit_factory",)

        def __init__(self, factory: EnvFactory) -> None:
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

        def ckptkit_replay(self, seed: int, log: list[Any]) -> None:
            """Do again what was done since the reset with the seed."""
            self.reset(seed=seed)
            for action in log:
                if action is None:
                    self.reset()
                else:
                    self.step(action[()])

    return Checkpointable
