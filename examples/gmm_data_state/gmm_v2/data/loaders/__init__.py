"""The loader, and the state file that it is saved to."""

from gmm_v2.data.loaders.data_loader import GMMDataLoader
from gmm_v2.data.loaders.factory import NumpyEncoder, create_generators, load_generator_state, save_generator_state
from gmm_v2.data.state import StateMismatchError

__all__ = [
    "GMMDataLoader",
    "NumpyEncoder",
    "StateMismatchError",
    "create_generators",
    "load_generator_state",
    "save_generator_state",
]
