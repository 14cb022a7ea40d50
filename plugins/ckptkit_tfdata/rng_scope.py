"""The generators that a dataset factory may draw from, so that a second call builds the same and disturbs nobody.

``tf.random.set_seed`` with ``shuffle(n)`` takes the op's seed from a counter of the process; a factory may shuffle its
file list with ``random`` or NumPy. Calling such a factory again would build another dataset and shift the draws of the
training run. So the generators are noted before the first call, put back for each later one, and left as they were.
"""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RngScope:
    """State of python's, NumPy's and TensorFlow's process-wide generators."""

    python: Any
    numpy: Any
    tensorflow: Any

    @classmethod
    def now(cls) -> "RngScope":
        """Note the state of the generators."""
        numpy = sys.modules["numpy"].random.get_state(legacy=False) if "numpy" in sys.modules else None
        seeds = _op_seeds()
        return cls(random.getstate(), numpy, None if seeds is None else seeds.getstate())

    @contextmanager
    def again(self) -> Iterator[None]:
        """Run the body as if it were that moment again; afterwards the generators are as they were before it."""
        before = RngScope.now()
        self._put()
        try:
            yield
        finally:
            before._put()

    def _put(self) -> None:
        random.setstate(self.python)
        if self.numpy is not None:
            sys.modules["numpy"].random.set_state(self.numpy)
        seeds = _op_seeds()
        if seeds is not None and self.tensorflow is not None:
            seeds.setstate(self.tensorflow)


def _op_seeds() -> Any:
    # Private, therefore asked for with care: where a TensorFlow has no such generator, datasets that depend on it are
    # found by their fingerprint, which names the seed.
    if "tensorflow" not in sys.modules:
        return None
    from tensorflow.python.eager import context

    seeds = getattr(context.context(), "_rng", None)
    return seeds if hasattr(seeds, "getstate") else None
