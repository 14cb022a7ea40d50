"""The conformance kit on two estimators: one that only counts its updates, one with random state and momentum."""

import numpy as np
from ckptkit_sklearn import SklearnBackend
from sklearn.linear_model import SGDRegressor
from sklearn.neural_network import MLPRegressor

from ckptkit.testing import BackendTests

FEATURES = np.random.default_rng(0).normal(size=(32, 3))
TARGETS = FEATURES @ [1.0, -2.0, 0.5]


class TestLinear(BackendTests):
    backend = SklearnBackend

    def make_item(self):
        return SGDRegressor(random_state=0)

    def advance(self, item):
        return item.partial_fit(FEATURES, TARGETS).coef_.copy()

    def make_misfit(self):
        return SGDRegressor(random_state=0, alpha=0.5)


class TestPerceptron(TestLinear):
    def make_item(self):
        return MLPRegressor(hidden_layer_sizes=(4,), batch_size=8, random_state=0)

    def advance(self, item):
        return [layer.copy() for layer in item.partial_fit(FEATURES, TARGETS).coefs_]

    def make_misfit(self):
        return MLPRegressor(hidden_layer_sizes=(5,), batch_size=8, random_state=0)
