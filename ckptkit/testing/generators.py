"""The random generators of the process, seeded alike before two runs and compared after them."""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SEED = 20_000


def states() -> dict[str, Any]:
    """Return each generator's state by name: Python's, and NumPy's and torch's if they are loaded."""
    found: dict[str, Any] = {"random": random.getstate()}
    if (numpy := sys.modules.get("numpy")) is not None:
        found["numpy.random"] = numpy.random.get_state()
    if (torch := sys.modules.get("torch")) is not None:
        found["torch"] = torch.get_rng_state()
    return found


@contextmanager
def seeded() -> Iterator[None]:
    """Seed all of them alike, and put them back as they were at the end."""
    before = states()
    random.seed(_SEED)
    if "numpy.random" in before:
        sys.modules["numpy"].random.seed(_SEED)
    if "torch" in before:
        sys.modules["torch"].manual_seed(_SEED)
    try:
        yield
    finally:
        random.setstate(before["random"])
        if "numpy.random" in before:
            sys.modules["numpy"].random.set_state(before["numpy.random"])
        if "torch" in before:
            sys.modules["torch"].set_rng_state(before["torch"])
