"""GMMDataLoader: batches of generated data for training, and the state to go on from after the same batch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from ckptkit import DamagedError
from gmm_v2.config import MixtureConfig
from gmm_v2.data.core.data_generator import Batch
from gmm_v2.data.loaders import factory
from gmm_v2.data.state import LoaderState, StateMismatchError, settings_in

_DEFAULTS = {"batch_size": 16, "num_samples": 1000, "fixed_data": False, "loader_id": "main"}


class GMMDataLoader:
    """Iterates over the batches of one epoch, then ends; the next ``for`` is the next epoch.

    It is its own iterator, and ``iter`` never starts again: whether batches are taken by ``for`` or by
    ``next(iter(loader))``, and whether the process is another one in between, the same calls give the same batches.

    With ``resume=True`` what is left out of ``batch_size``, ``num_samples``, ``fixed_data`` and ``loader_id`` is as the
    state says; what is given must be equal to it.

    Args:
        config_dict: of the mixtures; a ``MixtureConfig`` or its fields.
        batch_size: samples in a batch, 16 when left out; the last one of an epoch has what is left.
        num_samples: samples in an epoch, 1000 when left out.
        seed: where data starts; None starts anywhere. Ignored with ``resume=True``.
        state_path: where ``save_state`` writes, and ``resume=True`` reads.
        resume: False (default): start from the seed; a file at ``state_path`` is not read. True: go on from it, with
            its counters.
        fixed_data: generate all batches of an epoch upfront and use them again in each epoch; otherwise each batch is
            new, as it is when this is left out.
        loader_id: name of this loader, ``main`` when left out; a state is only taken from a loader of the same name.

    Attributes:
        current_epoch: epochs that are over.
        current_batch: batches of this epoch that were handed out.

    Raises:
        ValueError: ``resume=True`` without ``state_path``; or a field of the configuration is wrong.
        FileNotFoundError: ``resume=True``, and there is no state file.
        DamagedError: the state file is damaged, or is none.
        StateMismatchError: it is the state of another loader; the message names each field.
    """

    def __init__(
        self,
        config_dict: Mapping[str, Any] | MixtureConfig,
        batch_size: int | None = None,
        num_samples: int | None = None,
        seed: int | None = None,
        state_path: str | Path | None = None,
        resume: bool = False,
        *,
        fixed_data: bool | None = None,
        loader_id: str | None = None,
    ) -> None:
        if resume and state_path is None:
            raise ValueError("state_path must be provided when resume=True")
        state = factory.load_generator_state(state_path) if resume and state_path is not None else {}
        given = {
            "batch_size": batch_size, "num_samples": num_samples, "fixed_data": fixed_data, "loader_id": loader_id
        }  # fmt: skip
        chosen = _DEFAULTS | settings_in(state) | {name: value for name, value in given.items() if value is not None}
        self.batch_size, self.num_samples = chosen["batch_size"], chosen["num_samples"]
        self.fixed_data, self.loader_id = chosen["fixed_data"], chosen["loader_id"]
        if self.batch_size < 1 or self.num_samples < 1:
            raise ValueError(f"batch_size {self.batch_size} and num_samples {self.num_samples} must be at least 1")
        self.config = MixtureConfig.model_validate(config_dict)
        self.seed = seed
        self.state_path = state_path
        self.current_epoch = 0
        self.current_batch = 0
        self.param_generator, self.data_generator = factory.create_generators(self.config, None if resume else seed)
        if state_path is not None and resume:
            self._resume(state, state_path)
        elif self.fixed_data:
            self.data_generator.cache(self.num_samples, self.batch_size)

    def __len__(self) -> int:
        """Return the batches in an epoch."""
        return -(-self.num_samples // self.batch_size)

    def __iter__(self) -> Self:
        """Return the loader itself, where it is: batches that were handed out do not come again."""
        return self

    def __next__(self) -> Batch:
        """Return the next batch of this epoch."""
        if self.current_batch >= len(self):
            self.current_epoch += 1
            self.current_batch = 0
            raise StopIteration
        index = self.current_batch
        if self.fixed_data:
            batch = self.data_generator.cached_batch(index)
        else:
            batch = self.data_generator.generate(min(self.batch_size, self.num_samples - index * self.batch_size))
        self.current_batch += 1
        return batch

    def save_state(self, path: str | Path | None = None) -> dict[str, Any]:
        """Write generators, kept data and counters to a file, and return what was written.

        Args:
            path: the file; ``state_path`` when left out, or else ``gmm_loader_state_{loader_id}.json``.
        """
        save_path = path or self.state_path
        if save_path is None:
            save_path = f"gmm_loader_state_{self.loader_id}.json"
        return factory.save_generator_state(self.param_generator, self.data_generator, save_path, self._loader_state())

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that ``save_state`` or ``load_generator_state`` returned: all of it, or nothing.

        A state without counters (written without a loader, or by an older program) restores the generators only:
        set ``current_epoch`` and ``current_batch`` yourself.

        Raises:
            DamagedError: a part is missing, or is not valid.
            StateMismatchError: it is the state of another loader, or of other generators.
        """
        for part in ("param_generator_state", "data_generator_state"):
            if not isinstance(state.get(part), Mapping):
                raise DamagedError(f"the state has no {part}")
        counters = LoaderState.parse(state["loader_state"]) if "loader_state" in state else None
        if counters is not None:
            counters.refuse_other(self._loader_state())
        data, parameters = dict(state["data_generator_state"]), state["param_generator_state"]
        if data.setdefault("param_generator_state", parameters) != parameters:
            raise StateMismatchError("the state holds two states of the one parameter generator, and they differ")
        self._refuse_other_mode(data.get("cached_data"))
        self.data_generator.set_state(data)
        if counters is not None:
            self.current_epoch, self.current_batch = counters.current_epoch, counters.current_batch
            self.seed = counters.seed

    def generators(self) -> dict[str, Any]:
        """Return the NumPy generators that the data comes from, by name."""
        return {"parameters": self.param_generator.random_state.rng, "data": self.data_generator.random_state.rng}

    def _refuse_other_mode(self, cached: Any) -> None:
        if not self.fixed_data and cached is not None:
            raise StateMismatchError("cached_data: the state is of a loader of fixed data, this one is dynamic")
        if self.fixed_data and not isinstance(cached, Mapping):
            raise StateMismatchError("cached_data: the state is of a loader of dynamic data, this one is fixed")
        shape = getattr(cached.get("data"), "shape", None) if isinstance(cached, Mapping) else None
        if shape and shape[0] != self.num_samples:
            raise StateMismatchError(f"cached_data: {shape[0]} samples there, num_samples is {self.num_samples} here")

    def _resume(self, state: Mapping[str, Any], path: str | Path) -> None:
        if "loader_state" not in state:
            raise StateMismatchError(
                f"{path}: has no counters of batches and epochs, so it does not say where to go on; "
                "use load_generator_state and restore_state, and set current_batch and current_epoch"
            )
        try:
            self.restore_state(state)
        except StateMismatchError as error:
            raise StateMismatchError(f"{path}: {error}") from error

    def _loader_state(self) -> LoaderState:
        return LoaderState(
            loader=type(self).__name__,
            loader_id=self.loader_id,
            fixed_data=self.fixed_data,
            batch_size=self.batch_size,
            num_samples=self.num_samples,
            current_epoch=self.current_epoch,
            current_batch=self.current_batch,
            seed=self.seed,
            config=self.config.model_dump(mode="json"),
        )
