"""Honest files of trainers, written here and now by the real libraries, give no finding: DCP, FSDP, Lightning, ...

The allowlist was derived from these. A new version of a library that pickles something else fails here first.
"""

import argparse
import io
import pathlib
import pickle
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import lightning
import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from accelerate import Accelerator
from accelerate.data_loader import SeedableRandomSampler
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DataLoaderConfiguration
from gymnasium import spaces
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, StochasticWeightAveraging, Timer
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from torch.distributed.checkpoint.format_utils import torch_save_to_dcp
from torch.distributed.checkpoint.state_dict import get_state_dict
from torch.distributed.fsdp import FullyShardedDataParallel, StateDictType, fully_shard
from torch.utils.data import ConcatDataset, DataLoader, RandomSampler, Subset, TensorDataset, WeightedRandomSampler
from transformers import GenerationConfig, Seq2SeqTrainingArguments, TrainingArguments

from ckptkit.formats.kinds import look_into_bytes, look_into_file
from ckptkit.formats.pickles import check_pickle
from ckptkit.problem import Problem

pytestmark = pytest.mark.filterwarnings("ignore")  # the frameworks warn of tiny models and of each other's old APIs


def check_saved(value: Any) -> list[Problem]:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return look_into_bytes(buffer.getvalue(), file="x.pth", kind="torch")


def check_folder(folder: Path, *, kind: str | None = None) -> list[Problem]:
    """Look into every file of a folder, as a verification does."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [problem for path in files for problem in look_into_file(path, file=path.name, kind=kind)]


def trained(model: torch.nn.Module) -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return optimizer


@pytest.fixture(scope="module")
def _process_group() -> Iterator[None]:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


# -- torch.distributed.checkpoint and FSDP


def test_the_metadata_of_a_distributed_checkpoint_gives_no_finding(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2)
    weights, optimizer = get_state_dict(model, trained(model))
    plain = {"rng": torch.get_rng_state(), "step": 3, "lr": 0.1, "more": {"a": [1, 2]}}
    dcp.save({"model": weights, "optimizer": optimizer, **plain}, checkpoint_id=tmp_path, no_dist=True)
    assert check_folder(tmp_path) == []


def test_a_torch_file_converted_to_a_distributed_checkpoint_gives_no_finding(tmp_path: Path) -> None:
    torch.save({"model": torch.nn.Linear(3, 2).state_dict(), "step": 1}, tmp_path / "model.pt")
    torch_save_to_dcp(tmp_path / "model.pt", tmp_path / "dcp")
    assert check_folder(tmp_path / "dcp") == []


@pytest.mark.usefixtures("_process_group")
def test_a_fully_sharded_module_gives_no_finding(tmp_path: Path) -> None:
    mesh = torch.distributed.init_device_mesh("cpu", (1,))
    model = torch.nn.Linear(3, 2)
    fully_shard(model, mesh=mesh)
    weights, optimizer = get_state_dict(model, trained(model))
    assert check_saved([weights, optimizer]) == []
    dcp.save({"model": weights, "optimizer": optimizer}, checkpoint_id=tmp_path)
    assert check_folder(tmp_path) == []


@pytest.mark.usefixtures("_process_group")
@pytest.mark.parametrize("kind", [StateDictType.SHARDED_STATE_DICT, StateDictType.LOCAL_STATE_DICT])
def test_a_module_under_the_first_fsdp_gives_no_finding(kind: StateDictType) -> None:
    model = FullyShardedDataParallel(torch.nn.Linear(3, 2), device_id=torch.device("cpu"))
    with FullyShardedDataParallel.state_dict_type(model, kind):
        assert check_saved(model.state_dict()) == []


# -- Lightning


class Module(lightning.LightningModule):
    def __init__(self, rate: float = 0.1, activation: Any = None, folder: Any = None) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(3, 2)

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        loss: torch.Tensor = self.layer(batch[0]).pow(2).mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters())
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 2)}

    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(torch.ones(8, 3)), batch_size=4)


LIGHTNING: dict[str, tuple[Callable[[], Any], Callable[[], list[Any]]]] = {
    "plain": (Module, list),
    "callbacks": (
        lambda: Module(activation=torch.nn.ReLU(), folder=pathlib.Path("data")),
        lambda: [EarlyStopping("loss", check_on_train_epoch_end=True), Timer("00:01:00:00")],
    ),
    "averaged": (Module, lambda: [StochasticWeightAveraging(0.01, swa_epoch_start=1)]),
}


@pytest.mark.parametrize("name", LIGHTNING)
def test_a_checkpoint_of_lightning_gives_no_finding(name: str, tmp_path: Path) -> None:
    module, callbacks = LIGHTNING[name][0](), LIGHTNING[name][1]()
    trainer = lightning.Trainer(
        default_root_dir=tmp_path,
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ModelCheckpoint(tmp_path, save_last=True, monitor="loss"), *callbacks],
    )
    trainer.fit(module)
    assert check_folder(tmp_path, kind="torch") == []


@pytest.mark.parametrize("protocol", range(3, 6))
def test_tensors_in_a_plain_pickle_give_no_finding(protocol: int) -> None:
    value = {
        "a": torch.ones(3),
        "b": [torch.nn.Parameter(torch.ones(2)), torch.zeros(2, dtype=torch.int8), torch.Generator()],
    }
    assert check_pickle(pickle.dumps(value, protocol), file="x") == []


def test_settings_in_a_checkpoint_give_no_finding() -> None:
    from lightning.pytorch.utilities.parsing import AttributeDict

    assert check_saved([argparse.Namespace(a=1), types.SimpleNamespace(b=2), AttributeDict(c=3), Path("d")]) == []


# -- accelerate


@pytest.fixture
def _fresh_accelerator() -> Iterator[None]:
    yield
    AcceleratorState._reset_state()
    PartialState._reset_state()


@pytest.mark.usefixtures("_fresh_accelerator")
@pytest.mark.parametrize("settings", [{}, {"use_seedable_sampler": True}, {"use_stateful_dataloader": True}], ids=str)
def test_a_state_of_accelerate_gives_no_finding(settings: dict[str, Any], tmp_path: Path) -> None:
    accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(**settings))
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    loader = DataLoader(TensorDataset(torch.ones(8, 3)), batch_size=4, shuffle=True)
    model, optimizer, scheduler, loader = accelerator.prepare(model, optimizer, scheduler, loader)
    for (batch,) in loader:
        accelerator.backward(model(batch).sum())
        optimizer.step()
        scheduler.step()
    accelerator.save_state(str(tmp_path), safe_serialization=False)
    names = [path.name for path in tmp_path.iterdir()]
    assert {"random_states_0.pkl", "optimizer.bin", "scheduler.bin", "pytorch_model.bin"} <= set(names)
    assert check_folder(tmp_path, kind="torch") == []


def test_samplers_give_no_finding() -> None:
    data = TensorDataset(torch.ones(8, 3))
    samplers = [
        SeedableRandomSampler(data, generator=torch.Generator()),
        RandomSampler(Subset(data, [1, 2])),
        WeightedRandomSampler([0.1, 0.2], 2),
        torch.utils.data.BatchSampler(RandomSampler(ConcatDataset([data])), 2, False),
    ]
    assert check_saved(samplers) == []


# -- transformers


ARGUMENTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "plain": (TrainingArguments, {}),
    "more": (
        TrainingArguments,
        {
            "debug": "underflow_overflow",
            "lr_scheduler_type": "cosine_with_restarts",
            "optim": "adafactor",
            "eval_strategy": "steps",
            "eval_steps": 1,
            "accelerator_config": {"split_batches": True},
            "gradient_checkpointing": True,
        },
    ),
    "generation": (Seq2SeqTrainingArguments, {"predict_with_generate": True, "generation_config": GenerationConfig()}),
}


@pytest.mark.usefixtures("_fresh_accelerator")
@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_arguments_that_a_trainer_saves_give_no_finding(name: str, tmp_path: Path) -> None:
    kind, settings = ARGUMENTS[name]
    arguments = kind(str(tmp_path), use_cpu=True, report_to=[], **settings)
    torch.save(arguments, tmp_path / "training_args.bin")  # as Trainer._save does
    assert check_folder(tmp_path, kind="torch") == []


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_arguments_that_a_pickle_calls_or_hands_on_are_not_allowed(protocol: int) -> None:
    name = {
        0: b"ctransformers.training_args\nTrainingArguments\n(Vout\ntR.",
        2: b"\x80\x02ccollections\ndefaultdict\nctransformers.training_args\nTrainingArguments\n\x85R.",
        4: b"\x80\x02ctransformers.training_args\nTrainingArguments\nq\x00)\x81h\x00)R.",
    }[protocol]
    assert [problem.code for problem in check_pickle(name, file="x")] == ["pickle-unrecognised"]


# -- sb3-contrib


class Env(gymnasium.Env[Any, Any]):
    def __init__(self, observation: spaces.Space[Any], action: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observation, action

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 1.0, bool(self.np_random.random() < 0.2), False, {}

    def action_masks(self) -> list[bool]:
        return [True, True, False]


VECTOR = spaces.Box(-1, 1, (3,))
IMAGE = spaces.Box(0, 255, (1, 36, 36), np.uint8)
SEVERAL = spaces.Dict(a=VECTOR, b=spaces.Discrete(3))
TURN = spaces.Box(-1, 1, (2,))
CHOICE = spaces.Discrete(3)
OFF: dict[str, Any] = {"policy_kwargs": {"net_arch": [8]}, "learning_starts": 10, "buffer_size": 60}
ON: dict[str, Any] = {"n_steps": 8, "batch_size": 8}

AGENTS: dict[str, tuple[Any, str, Any, Any, dict[str, Any]]] = {
    "QRDQN": (QRDQN, "MlpPolicy", VECTOR, CHOICE, OFF),
    "QRDQN on images": (QRDQN, "CnnPolicy", IMAGE, CHOICE, {**OFF, "learning_starts": 40}),
    "QRDQN on a dict": (QRDQN, "MultiInputPolicy", SEVERAL, CHOICE, OFF),
    "TQC": (TQC, "MlpPolicy", VECTOR, TURN, {**OFF, "use_sde": True}),
    "TQC on images": (TQC, "CnnPolicy", IMAGE, TURN, {**OFF, "learning_starts": 40}),
    "TQC on a dict": (TQC, "MultiInputPolicy", SEVERAL, TURN, OFF),
    "CrossQ": (CrossQ, "MlpPolicy", VECTOR, TURN, OFF),
    "RecurrentPPO": (RecurrentPPO, "MlpLstmPolicy", VECTOR, CHOICE, ON),
    "RecurrentPPO on images": (RecurrentPPO, "CnnLstmPolicy", IMAGE, CHOICE, ON),
    "RecurrentPPO on a dict": (RecurrentPPO, "MultiInputLstmPolicy", SEVERAL, CHOICE, ON),
    "MaskablePPO": (MaskablePPO, "MlpPolicy", VECTOR, CHOICE, ON),
    "MaskablePPO on images": (MaskablePPO, "CnnPolicy", IMAGE, CHOICE, ON),
    "MaskablePPO on a dict": (MaskablePPO, "MultiInputPolicy", SEVERAL, CHOICE, ON),
    "ARS": (ARS, "LinearPolicy", VECTOR, TURN, {"n_delta": 1}),
    "ARS with layers": (ARS, "MlpPolicy", VECTOR, TURN, {"n_delta": 1}),
    "TRPO": (TRPO, "MlpPolicy", VECTOR, CHOICE, ON),
}


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_of_sb3_contrib_gives_no_finding(name: str, tmp_path: Path) -> None:
    algorithm, policy, observation, action, options = AGENTS[name]
    agent = algorithm(policy, Env(observation, action), seed=0, **options)
    agent.learn(12 if "images" in name or name.startswith("ARS") else 20)
    agent.save(tmp_path / "agent.zip")
    if hasattr(agent, "save_replay_buffer"):
        agent.save_replay_buffer(tmp_path / "replay.pkl")
    assert check_folder(tmp_path) == []
