"""Second and third level: a dataset that holds its persistent iterator, and the data loader that training code uses."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from ckptkit_tfdata import PersistentIterator

from ckptkit import BackendError
from openpi_cot.dataloader.cot_rlds_dataset import _SingleCoTDataset
from openpi_cot.dataloader.episode_index import read_index
from openpi_cot.dataloader.loader_state import load_loader, save_loader
from openpi_cot.training.config import TrainConfig

NOT_PERSISTENT = "Dataloader must be created with persistent_iterator=True"


@dataclass(frozen=True, slots=True)
class Sharding:
    """Which of several hosts this is: rank ``process_index`` of ``process_count`` reads every n-th shard of n."""

    process_index: int = 0
    process_count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.process_index < self.process_count:
            raise ValueError(f"process_index {self.process_index} is not one of {self.process_count} hosts")


@dataclass(frozen=True, slots=True)
class CoTObservation:
    """What the policy sees of a batch.

    Attributes:
        state: (batch, 1, 7) float32, normalised.
        tokenized_reasoning: (batch, tokens) uint8, the bytes of the language action, 0 after its end.
        frame_id: (batch, 2) int64, number of the episode and the step in it.
    """

    state: np.ndarray
    tokenized_reasoning: np.ndarray
    frame_id: np.ndarray


Batch = tuple[CoTObservation, np.ndarray]


class IterableTransformedDataset:
    """Batches of a dataset as (observations, actions).

    With ``persistent_iterator=True`` there is one iterator for the whole life of this object: every ``for`` loop goes
    on where the last one stopped. Without it, every loop begins at the first batch.
    """

    def __init__(
        self, dataset: _SingleCoTDataset, *, persistent_iterator: bool, settings: Mapping[str, Any] | None = None
    ) -> None:
        self._dataset = dataset
        self.persistent = dataset.create_checkpointable_iterator(settings) if persistent_iterator else None

    def __iter__(self) -> Iterator[Batch]:
        batches = self._dataset.create_checkpointable_iterator() if self.persistent is None else self.persistent
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except tf.errors.OpError as error:
                self._dataset.check_records()  # says which record of which shard it was
                reason = str(error.message).splitlines()[0]
                raise BackendError(f"the next batch cannot be read: {reason}", hint="are the shards whole?") from error
            seen = batch["observation"]
            yield CoTObservation(**{name: value.numpy() for name, value in seen.items()}), batch["actions"].numpy()


class CoTRLDSDataLoader:
    """The data loader: iterate over it, save where it is, go on from there. Made by ``create_data_loader``."""

    def __init__(
        self, dataset: IterableTransformedDataset, definition: Mapping[str, Any], sharding: Sharding | None = None
    ) -> None:
        self._dataset = dataset
        self._batches_seen = 0
        self.definition = dict(definition)
        self.sharding = sharding or Sharding()

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches; a persistent loader goes on, another one starts over.

        Raises:
            DamagedError: a record does not match its checksum; the message names shard and record.
            BackendError: a batch cannot be read for another reason.
        """
        for batch in self._dataset:
            self._batches_seen += 1
            yield batch

    def get_batches_seen(self) -> int:
        """Return the number of batches taken since the very start, over all resumes; ``enumerate`` would forget."""
        if self._dataset.persistent is not None:
            return self._dataset.persistent.batches_seen
        return self._batches_seen

    @property
    def iterator(self) -> PersistentIterator:
        """The item that a checkpoint holds. Raises ValueError if the loader is not persistent."""
        if self._dataset.persistent is None:
            raise ValueError(NOT_PERSISTENT)
        return self._dataset.persistent

    def save_dataloader_state(self, checkpoint_dir: str) -> str:
        """Save where the loader is; the state saved before survives until the new one is whole.

        Args:
            checkpoint_dir: a folder; it becomes a ckptkit store, with one run for each host.

        Returns:
            Path of the saved checkpoint's manifest; the iterator's files lie beside it, in ``data/``.

        Raises:
            ValueError: the loader was created with ``persistent_iterator=False``.
            StoreError: it could not be written.
        """
        return str(save_loader(checkpoint_dir, self.sharding.process_index, self.iterator, self.definition))

    def load_dataloader_state(self, checkpoint_dir: str) -> int:
        """Verify the newest state and go on from it, at the very next batch.

        Args:
            checkpoint_dir: as given to ``save_dataloader_state``.

        Returns:
            Number of batches that had been taken when it was saved.

        Raises:
            ValueError: no checkpoint is there, or the loader was created with ``persistent_iterator=False``.
            RefusedError: the state is of another loader; the message names every field that differs.
            NothingResumableError: states are there, and all of them are damaged.
        """
        load_loader(checkpoint_dir, self.sharding.process_index, self.iterator)
        return self.iterator.batches_seen


def create_data_loader(
    config: TrainConfig,
    persistent_iterator: bool = False,
    shuffle: bool = False,
    split: str = "train",
    seed: int | None = None,
    sharding: Sharding | None = None,
) -> CoTRLDSDataLoader:
    """Return a data loader over a split of the dataset.

    Args:
        config: of the run.
        persistent_iterator: whether its position can be saved.
        shuffle: whether in random order.
        split: ``train`` repeats for ever, any other ends after one epoch.
        seed: of the order; the config's when left out.
        sharding: which host this is; the only one when left out.

    Raises:
        NotFoundError: dataset, split or shard is missing.
        DamagedError: a shard is not what it should be.
        ValueError: the values cannot be.
    """
    sharding = sharding or Sharding()
    seed = config.seed if seed is None else seed
    index = read_index(config.data_dir, split, sharding.process_index, sharding.process_count)
    dataset = _SingleCoTDataset(
        config.data, index, batch_size=config.batch_size, shuffle=shuffle, seed=seed, repeat=split == "train"
    )
    definition = {
        "dataset": index.dataset,
        "split": split,
        "shuffle": shuffle,
        "seed": seed,
        "batch_size": config.batch_size,
        **config.data.model_dump(mode="json", exclude={"data_dir"}),
        "process_index": sharding.process_index,
        "process_count": sharding.process_count,
        "frames": index.frames,
        "shards": [path.name for path in index.paths],
    }
    if not (shuffle and config.data.shuffle_by == "frames"):
        del definition["shuffle_buffer_size"]  # it plays no part
    batches = IterableTransformedDataset(dataset, persistent_iterator=persistent_iterator, settings=definition)
    return CoTRLDSDataLoader(batches, definition, sharding)
