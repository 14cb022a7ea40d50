"""RL Zoo: in ``logs/ppo/CartPole-v1_1/`` the last agent, the best one, and a folder with how the environment was made.

The agents that its callback writes while it trains are those of Stable-Baselines3.

Source: rl_zoo3/exp_manager.py (``save_trained_model``, ``_save_config``), callbacks.py (``SaveVecNormalizeCallback``).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ckptkit.layouts.foreign import Found, beside, there
from ckptkit.layouts.interface import Listing

_SIGNS = ("args.yml", "config.yml")
_BEST, _BUFFER = "best_model.zip", "replay_buffer.pkl"


@dataclass(frozen=True, slots=True)
class RlZoo:
    """The layout of ``python -m rl_zoo3.train``. The number in ``CartPole-v1`` is no step."""

    kind: str = "rl_zoo"

    def find(self, listing: Listing) -> Iterator[Found]:
        """Yield the environment's agent with its folder, and the best agent."""
        for env in listing.folders:
            if there(listing, env, _SIGNS):
                last = f"{env}.zip"
                if last in listing.files:
                    yield Found(last, (last, *beside(listing, (env, _BUFFER))), pointers=(last,))
                if _BEST in listing.files:
                    yield Found(_BEST, (_BEST,), pointers=(_BEST,))
