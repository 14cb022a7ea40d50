"""Which episodes a dataset has, in which shards, and how long they are: ``dataset_info.json``, read and compared."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from ckptkit import NotFoundError

NAME = "acrobot_cot"
VERSION = "1.0.0"
INFO = "dataset_info.json"
_HOW = "make it: python make_episodes.py --data-dir DIR"


def dataset_folder(data_dir: Path) -> Path:
    """Return the folder of the dataset below the data folder, as TFDS lays it out: NAME/VERSION."""
    return data_dir / NAME / VERSION


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class Shard(_Part):
    """A TFRecord file and the number of steps of each episode in it."""

    file: str
    episode_lengths: list[PositiveInt]


class Spread(_Part):
    """Mean and standard deviation of each number of a state or an action."""

    mean: list[float]
    std: list[float]


class _Split(_Part):
    name: str
    shards: list[Shard]


class _Info(_Part):
    name: str
    version: str
    splits: list[_Split]
    statistics: dict[str, Spread]


@dataclass(frozen=True, slots=True)
class EpisodeIndex:
    """The episodes that one rank reads.

    Attributes:
        dataset: name and version.
        paths: of its shards.
        lengths: steps of each episode, through the shards in order.
        per_shard: number of episodes of each shard.
        statistics: of ``state`` and ``action``.
    """

    dataset: str
    paths: Sequence[Path]
    lengths: Sequence[int]
    per_shard: Sequence[int]
    statistics: dict[str, Spread]

    @property
    def frames(self) -> int:
        """Number of steps of all episodes."""
        return sum(self.lengths)


def read_index(data_dir: Path, split: str, rank: int, ranks: int) -> EpisodeIndex:
    """Return the episodes of a split that a rank reads: every ``ranks``-th shard.

    Raises:
        NotFoundError: there is no dataset, no such split, or a shard is missing.
        ValueError: the info file is not what make_episodes.py writes, or there are fewer shards than ranks.
    """
    folder = dataset_folder(data_dir)
    if not (folder / INFO).is_file():
        raise NotFoundError(f"{folder}: holds no dataset (no {INFO})", hint=_HOW)
    try:
        info = _Info.model_validate(json.loads((folder / INFO).read_bytes()))
    except (ValidationError, ValueError) as error:
        reason = str(error).replace("\n", " ")
        raise ValueError(f"{folder / INFO}: cannot be read: {reason}") from error
    splits = {s.name: s.shards for s in info.splits}
    if split not in splits:
        raise NotFoundError(f"{folder}: has no split {split!r}", hint=f"it has {', '.join(sorted(splits))}")
    shards = splits[split]
    if len(shards) < ranks:
        raise ValueError(f"split {split!r} has {len(shards)} shards, too few for {ranks} hosts: one each at least")
    missing = [shard.file for shard in shards if not (folder / shard.file).is_file()]
    if missing:
        raise NotFoundError(f"{folder}: shard {missing[0]} is missing, and {INFO} lists it", hint=_HOW)
    mine = shards[rank::ranks]
    return EpisodeIndex(
        dataset=f"{info.name}/{info.version}",
        paths=[(folder / shard.file).resolve() for shard in mine],
        lengths=[length for shard in mine for length in shard.episode_lengths],
        per_shard=[len(shard.episode_lengths) for shard in mine],
        statistics=info.statistics,
    )
