"""Saves scikit-learn estimators for ckptkit in skops' format: a zip of JSON and .npy files, no pickle."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ckptkit.backend import CheckContext, LoadContext, Problem, SaveContext, SavedItem
from ckptkit.errors import BackendError, DamagedError
from ckptkit.formats.zips import check_zip, read_member

FILE = "estimator.skops"
# partial_fit leaves these in the multi-layer perceptrons; the estimators themselves are trusted by skops.
TRUSTED = [f"sklearn.neural_network._stochastic_optimizers.{name}" for name in ("AdamOptimizer", "SGDOptimizer")]


class SklearnBackend:
    """Any estimator that skops can write without code; ``partial_fit`` goes on exactly where it was."""

    name = "sklearn"
    format_version = 1
    requires = ("sklearn", "skops")

    def can_save(self, item: object, /) -> bool:
        return any((c.__module__, c.__name__) == ("sklearn.base", "BaseEstimator") for c in type(item).__mro__)

    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        if not self.can_save(item):
            raise BackendError(f"a {type(item).__name__} is not a scikit-learn estimator")
        from skops.io import dump, get_untrusted_types

        dump(item, directory / FILE)
        if unknown := set(get_untrusted_types(file=directory / FILE)) - set(TRUSTED):
            raise BackendError(f"{type(item).__name__} holds {', '.join(sorted(unknown))}, which skops does not trust")
        return SavedItem(metadata={"class": f"{type(item).__module__}.{type(item).__name__}"})

    def check(self, directory: Path, *, context: CheckContext) -> Iterable[Problem]:
        if problems := check_zip(directory / FILE, file=FILE):
            return problems
        try:
            schema = json.loads(read_member(directory / FILE, "schema.json", max_bytes=64 << 20))
            return [] if "_skops_version" in schema else [Problem("skops-schema", "is not a skops file", FILE)]
        except (ValueError, RecursionError, TypeError) as error:
            return [Problem("skops-schema", f"schema.json cannot be read ({error})".splitlines()[0], FILE)]

    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        for problem in self.check(directory, context=context):
            raise DamagedError(f"{FILE}: {problem.message}")
        from skops.io import load

        try:
            loaded = load(directory / FILE, trusted=TRUSTED)
        except Exception as error:  # a crafted schema makes skops fail in many ways
            raise DamagedError(f"{FILE}: skops cannot load it ({type(error).__name__}: {error})") from error
        if target is None:
            return loaded
        if type(target) is not type(loaded) or str(target.get_params()) != str(loaded.get_params()):
            raise BackendError(f"{FILE} holds {loaded!r}, the target is {target!r}")
        target.__dict__ = loaded.__dict__
        return target
