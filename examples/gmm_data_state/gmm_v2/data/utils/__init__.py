"""Random numbers whose state can be saved and put back."""

from gmm_v2.data.utils.random_utils import RandomState

__all__ = ["RandomState"]
