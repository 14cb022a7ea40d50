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
        from ckptkit_sb3.checkpointable_wrapper import Checkpointable  # only now is gymnasium needed

        return Checkpointable(self)


def checkpointable(factory: Callable[[], Any], *, replay: bool = False, longest: int = DEFAULT_LOG) -> EnvFactory:
    """Return a factory whose environments are rebuilt at a reset with a seed, and can be replayed from there.

    Args:
        factory: builds one environment, without touching files.
        replay: keep a log of the actions since the last reset with a seed, for environments that cannot be read.
        longest: length of the log beyond which it is given up.
    """
    return EnvFactory(factory, replay, longest)
