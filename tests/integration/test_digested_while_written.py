"""What a save writes is digested meanwhile: it is not read again, whoever wrote it, and nothing is written twice."""

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ckptkit_numpy import GlobalRng
from ckptkit_safetensors import Policy
from ckptkit_safetensors.backend import SafetensorsBackend
from ckptkit_torchdata import ResumableLoader
from safetensors.torch import load_file
from torch import nn

from ckptkit import CheckpointStore, Files
from ckptkit.backend import SaveContext
from ckptkit.digest import digest_file
from ckptkit.errors import BackendError, CkptkitError, DamagedError
from ckptkit.formats import zips


class Counting(torch.utils.data.IterableDataset[int]):
    """Numbers, and how many were given."""

    def __init__(self) -> None:
        self.given = 0

    def __iter__(self) -> Iterator[int]:
        while self.given < 10:
            self.given += 1
            yield self.given

    def state_dict(self) -> dict[str, Any]:
        return {"given": self.given}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.given = state["given"]


LARGE = 768  # sides of a weight of more than 2 MiB


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the names of the files that are read for their digests."""
    names: list[str] = []

    def noting(path: Path, *given: str, **named: object) -> tuple[int, str]:
        names.append(path.name)
        return digest_file(path, *given)

    monkeypatch.setattr("ckptkit.sink.digest_file", noting)
    return names


def trained(seed: int = 0) -> Policy:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(LARGE, LARGE), nn.BatchNorm1d(LARGE))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2, LARGE)).sum().backward()
    optimizer.step()
    return Policy(model=model, optimizer=optimizer, extra={"lr": 0.1})


def test_no_file_of_a_policy_is_read_for_its_digest_and_the_digests_are_right(tmp_path: Path, read: list[str]) -> None:
    store = CheckpointStore(tmp_path, cache=False)
    saved = store.save("r", 1, {"policy": trained(), "rng": GlobalRng()})
    assert read == []
    for item in saved.manifest.items.values():
        for file in item.files:
            assert digest_file(saved.path / file.path) == (file.size, file.digest)
    assert store.verify("r", level="format").exit_code == 0


def test_files_are_digested_as_they_are_copied(tmp_path: Path, read: list[str]) -> None:
    (tmp_path / "data").write_bytes(random.Random(1).randbytes(3 << 20))
    saved = CheckpointStore(tmp_path / "s", cache=False).save("r", 1, {"data": Files(tmp_path / "data", "files")})
    assert read == []
    assert saved.manifest.items["data"].files[0].digest == digest_file(tmp_path / "data")[1]


def test_the_generators_of_the_process_are_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = os.open

    def noting(path: Any, *given: Any, **named: Any) -> int:
        opened.append(str(path))
        return real(path, *given, **named)

    monkeypatch.setattr(os, "open", noting)
    CheckpointStore(tmp_path, cache=False).save("r", 1, {"rng": GlobalRng(), "policy": trained()})
    assert len([path for path in opened if path.endswith("rng/rng.json") and "again" in path]) == 0
    assert [path for path in opened if path.endswith("rng/rng.json")]


def test_the_library_reads_what_is_written_by_hand(tmp_path: Path) -> None:
    tensors = {"b": torch.ones(3, dtype=torch.uint8), "ä": torch.arange(6.0).reshape(2, 3).T, "c": torch.tensor(2.5)}
    SafetensorsBackend().save(tensors, tmp_path, context=SaveContext(step=0))
    loaded = load_file(tmp_path / "policy.safetensors")
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], value) for name, value in tensors.items())


def test_training_during_a_save_is_refused(tmp_path: Path) -> None:
    policy = trained()

    def create(path: Path) -> Any:
        with torch.no_grad():
            policy.model[0].weight.add_(1)
        return path.open("xb")

    with pytest.raises(BackendError, match="changed while it was saved"):
        SafetensorsBackend().save(policy, tmp_path, context=SaveContext(step=0, create=create))


@pytest.fixture
def _no_sums() -> Iterator[None]:
    torch.serialization.set_crc32_options(False)
    yield
    torch.serialization.set_crc32_options(True)


@pytest.mark.usefixtures("_no_sums")
def test_what_torch_writes_without_sums_is_refused_as_ever(tmp_path: Path) -> None:
    policy = trained()
    policy.scheduler = torch.optim.lr_scheduler.StepLR(policy.optimizer, 1)
    policy.scheduler.seen = {1, 2}  # type: ignore[attr-defined]  # a set is left to torch
    with pytest.raises(CkptkitError, match="CRC"):
        CheckpointStore(tmp_path, cache=False).save("r", 1, {"policy": policy})


@pytest.mark.usefixtures("_no_sums")
def test_the_sums_of_plain_state_do_not_depend_on_the_options_of_torch(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, cache=False)
    store.save("r", 1, {"policy": trained()})
    assert store.verify("r").exit_code == 0


def test_sums_of_copied_files_are_compared(tmp_path: Path) -> None:
    torch.save(trained().optimizer.state_dict(), tmp_path / "optimizer.pth")
    assert zips.check_zip(tmp_path / "optimizer.pth", file="f") == []
    data = bytearray((tmp_path / "optimizer.pth").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "optimizer.pth").write_bytes(data)
    with pytest.raises(DamagedError, match="CRC"):
        CheckpointStore(tmp_path / "s", cache=False).save("r", 1, {"o": Files(tmp_path / "optimizer.pth", "files")})


def test_a_flipped_bit_in_a_large_member_is_found_once_it_is_saved(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "s", cache=False)
    saved = store.save("r", 1, {"policy": trained()})
    shutil.copytree(saved.path, tmp_path / "copy")
    file = tmp_path / "copy" / "policy" / "optimizer_state.pth"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert any(problem.code == "zip-bad-crc" for problem in zips.check_zip(file, file="f"))


def agents() -> dict[str, Any]:
    import stable_baselines3

    agent = stable_baselines3.SAC("MlpPolicy", "Pendulum-v1", buffer_size=100, learning_starts=10**6, device="cpu")
    agent.learn(20)
    return {"item": agent}


def loaders() -> dict[str, Any]:
    loader = ResumableLoader(torch.utils.data.DataLoader(Counting(), batch_size=2))
    next(iter(loader))
    return {"item": loader}


def iterators() -> dict[str, Any]:
    import tensorflow as tf
    from ckptkit_tfdata import PersistentIterator

    iterator = PersistentIterator(lambda: tf.data.Dataset.range(9))
    next(iterator)
    return {"item": iterator}


@pytest.mark.parametrize(
    ("made", "by_path"),
    [(agents, set()), (loaders, set()), (iterators, {"iterator.index", "iterator.data-00000-of-00001"})],
)
def test_only_what_a_library_writes_by_itself_is_read(
    made: Any, by_path: set[str], tmp_path: Path, read: list[str]
) -> None:
    store = CheckpointStore(tmp_path, cache=False)
    store.save("r", 1, made())
    assert set(read) == by_path
    assert store.verify("r").exit_code == 0
