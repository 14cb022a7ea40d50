"""Guest of ckptkit: random generators of NumPy, Python and torch, exact to the last bit, in one JSON file."""

from ckptkit_numpy.backend import NumpyRngBackend
from ckptkit_numpy.global_rng import GlobalRng, RngSnapshot

__all__ = ["GlobalRng", "NumpyRngBackend", "RngSnapshot"]
