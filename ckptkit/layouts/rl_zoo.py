"""RL Zoo: in ``logs/ppo/CartPole-v1_1/`` the last agent, the best one, those of its callback, a folder of arguments.

Source: rl_zoo3/exp_manager.py (``save_trained_model``, ``_save_config``), callbacks.py (``SaveVecNormalizeCallback``).
"""

from collections.abc import Iterator

from ckptkit.layouts.foreign import Found, beside, there
from ckptkit.layouts.interface import Listing
from ckptkit.layouts.sb3_callback import Sb3Callback

ARGUMENTS, SETTINGS = "args.yml", "config.yml"
_BUFFER = "replay_buffer.pkl"


class RlZoo:
    """The layout of ``python -m rl_zoo3.train``. The number in ``CartPole-v1`` is no step."""

    kind = "rl_zoo"

    def find(self, listing: Listing) -> Iterator[Found]:
        """Yield the environment's agent with its folder, the best agent, and those that are named by their steps."""
        env = folder_of(listing)
        if env is None:
            return
        last = f"{env}.zip"
        if last in listing.files:
            yield Found(last, (last, *beside(listing, (env, _BUFFER))), pointers=(last,))
        yield from Sb3Callback().find(listing)


def folder_of(listing: Listing) -> str | None:
    """Return the folder that is named by the environment, and holds how it was trained."""
    return next((name for name in sorted(listing.folders) if there(listing, name, (ARGUMENTS, SETTINGS))), None)
