"""The CoT RLDS example refuses data and configurations that are not what they should be, and names what is wrong."""

import os
import shutil
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cot_rlds_example
import pytest
from cot_rlds_example import flip, loader
from openpi_cot.dataloader.cot_data_loader import Sharding
from openpi_cot.training.config import TrainConfig, get_config

from ckptkit.errors import BackendError, DamagedError, NotFoundError

# pytest finds fixtures among the names of a module
one_thread, data, config = (getattr(cot_rlds_example, name) for name in ("one_thread", "data", "config"))


@pytest.fixture
def broken(config: TrainConfig, tmp_path: Path) -> tuple[TrainConfig, Path]:
    """A copy of the data that may be broken, and its first shard."""
    folder = Path(shutil.copytree(config.data_dir, tmp_path / "data"))
    shard = folder / "acrobot_cot/1.0.0/acrobot_cot-train.tfrecord-00000-of-00004"
    return config.with_(data={"data_dir": folder}), shard


def test_a_missing_shard_is_named(broken: tuple[TrainConfig, Path]) -> None:
    broken[1].unlink()
    with pytest.raises(NotFoundError, match=r"shard acrobot_cot-train\.tfrecord-00000-of-00004 is missing"):
        loader(broken[0])


def test_a_shard_that_was_cut_short_is_named(broken: tuple[TrainConfig, Path]) -> None:
    broken[1].write_bytes(broken[1].read_bytes()[:-100])
    with pytest.raises(DamagedError, match=r"00000-of-00004: record 11 at byte \d+ is cut short"):
        loader(broken[0])


def test_a_shard_with_other_episodes_than_listed_is_refused(broken: tuple[TrainConfig, Path]) -> None:
    broken[1].write_bytes(broken[1].read_bytes() * 2)
    with pytest.raises(DamagedError, match=r"holds 24 episodes, and dataset_info\.json lists 12"):
        loader(broken[0])


@pytest.mark.parametrize("shuffle_by", ["indices", "frames"])
def test_a_corrupted_record_is_named_when_it_is_read(broken: tuple[TrainConfig, Path], shuffle_by: str) -> None:
    flip(broken[1], at=500)
    one = loader(broken[0].with_(data={"shuffle_by": shuffle_by}), shuffle=False)
    with pytest.raises(DamagedError, match="00000-of-00004: record 0 at byte 0: the checksum of its data"):
        next(iter(one))


def test_a_state_is_refused_when_a_shard_has_other_contents(broken: tuple[TrainConfig, Path], tmp_path: Path) -> None:
    loader(broken[0]).save_dataloader_state(str(tmp_path / "state"))
    flip(broken[1], at=500)
    with pytest.raises(BackendError, match="00000-of-00004 has other contents"):
        loader(broken[0]).load_dataloader_state(str(tmp_path / "state"))


def test_no_dataset_no_split_no_config_and_too_many_hosts_are_refused(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="holds no dataset") as caught:
        loader(config.with_(data={"data_dir": tmp_path}))
    assert "make_episodes.py" in caught.value.hint
    with pytest.raises(NotFoundError, match="has no split 'test'"):
        loader(config, split="test")
    with pytest.raises(ValueError, match="too few for 5 hosts"):
        loader(config, sharding=Sharding(0, 5))
    with pytest.raises(ValueError, match="process_index 2"):
        Sharding(2, 2)
    with pytest.raises(ValueError, match=r"^gemma3: num_train_steps: Input should be greater than 0$"):
        config.with_(num_train_steps=0)
    with pytest.raises(ValueError, match="no config 'gemma4'; there are gemma3,"):
        get_config("gemma4")
