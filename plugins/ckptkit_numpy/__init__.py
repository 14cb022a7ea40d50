"""Guest of ckptkit: random generators of NumPy, Python and torch, exact to the last bit, in one JSON file.

``write_state`` and ``read_state`` are for a loader that keeps its state in a file of its own: generators, arrays and
counters, with a digest.
"""

from ckptkit_numpy.backend import NumpyRngBackend
from ckptkit_numpy.global_rng import GlobalRng, RngSnapshot
from ckptkit_numpy.state_file import read_state, write_state

__all__ = ["GlobalRng", "NumpyRngBackend", "RngSnapshot", "read_state", "write_state"]
