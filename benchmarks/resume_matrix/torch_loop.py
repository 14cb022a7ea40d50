"""The training loop of the torch set-ups: what the README shows, with a state that nobody may think of."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.resume_matrix.setup import RUN, Setup, Train, digest

STEPS, EVERY = 36, 8


@dataclass
class Parts:
    """What a set-up trains.

    Attributes:
        model: a torch module.
        optimizer: its optimizer.
        step: does one step, given its number.
        items: what is saved, by name; the model and optimizer as ``policy`` and generators as ``rng`` when left out.
    """

    model: Any
    optimizer: Any
    step: Callable[[int], None]
    items: dict[str, Any] = field(default_factory=dict)


def looped(build: Callable[[], Parts]) -> Train:
    """Return the training of what is built."""

    def train(setup: Setup) -> str:
        parts = build()
        if setup.store is None:
            for number in range(1, STEPS + 1):
                parts.step(number)
                setup.at_step(number)
            return digest(parts.model.parameters())
        _saving(setup, parts)
        return digest(parts.model.parameters())

    return train


def _saving(setup: Setup, parts: Parts) -> None:
    from ckptkit_numpy import GlobalRng
    from ckptkit_safetensors import Policy

    from ckptkit import CheckpointStore

    assert setup.store is not None
    items = parts.items or {"policy": Policy(parts.model, parts.optimizer), "rng": GlobalRng()}
    store = CheckpointStore(setup.store)
    restored = store.restore(RUN, into=items, missing_ok=True)
    observer = store.observe(RUN, steps=EVERY)
    for number in range(restored.step + 1 if restored else 1, STEPS + 1):
        parts.step(number)
        observer.note(number, items)
        setup.at_step(number)
        if number % EVERY == 0:
            store.save(RUN, number, items, resume=setup.resume)
