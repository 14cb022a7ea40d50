"""What generates: the parameters of mixtures, and points drawn from them."""

from gmm_v2.data.core.data_generator import DataGenerator
from gmm_v2.data.core.parameter_generator import ParameterGenerator

__all__ = ["DataGenerator", "ParameterGenerator"]
