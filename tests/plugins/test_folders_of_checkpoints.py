"""A folder of several checkpoints, as Lightning, SB3, the Trainer and DCP leave it, is at the newest of them."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import inside, refused
from safetensors.torch import save_file


@pytest.fixture(scope="module")
def lightning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``epoch=0-step=2.ckpt`` and ``epoch=1-step=4.ckpt``."""
    import lightning as L
    from lightning.pytorch.callbacks import ModelCheckpoint

    class Net(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 4)

        def training_step(self, batch: Any, index: int) -> Any:
            return self.layer(batch).sum()

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters())

    folder = tmp_path_factory.mktemp("lightning") / "out"
    trainer = L.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder, callbacks=[ModelCheckpoint(dirpath=folder, save_top_k=-1)],
    )  # fmt: skip
    with warnings.catch_warnings(action="ignore"):
        trainer.fit(Net(), torch.utils.data.DataLoader(torch.arange(8.0).view(2, 4)))  # type: ignore[arg-type]  # a tensor is a dataset
    assert sorted(file.name for file in folder.iterdir()) == ["epoch=0-step=2.ckpt", "epoch=1-step=4.ckpt"]
    return folder


@pytest.fixture(scope="module")
def sb3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``rl_model_50_steps.zip`` and ``rl_model_100_steps.zip``, each with its buffer."""
    from stable_baselines3 import SAC
    from stable_baselines3.common.callbacks import CheckpointCallback

    folder = tmp_path_factory.mktemp("sb3") / "out"
    agent = SAC("MlpPolicy", "Pendulum-v1", learning_starts=200, buffer_size=128, policy_kwargs={"net_arch": [4]})
    agent.learn(100, callback=CheckpointCallback(50, str(folder), save_replay_buffer=True))
    assert {"rl_model_50_steps.zip", "rl_model_100_steps.zip"} < {file.name for file in folder.iterdir()}
    return folder


def save(folder: Path, step: int) -> Any:
    return inside("save", "run", "--step", str(step), f"a:files={folder}", store=folder.parent / "store")


@pytest.mark.parametrize(
    ("trainer", "step", "newest"), [("lightning", 999, 4), ("lightning", 2, 4), ("sb3", 999, 100), ("sb3", 50, 100)]
)
def test_at_any_step_but_the_newest_it_is_refused_like_a_single_file(
    trainer: str, step: int, newest: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(request.getfixturevalue(trainer), tmp_path / "out"))
    refused(save(folder, step), 5, f"item 'a' is at step {newest}, the checkpoint at step {step}")
    assert save(folder, newest).returncode == 0


def test_a_file_without_a_step_in_its_name_is_at_the_one_in_it(lightning: Path, sb3: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(lightning, tmp_path / "out"))
    (folder / "epoch=1-step=4.ckpt").rename(folder / "last.ckpt")
    refused(save(folder, 2), 5, "item 'a' is at step 4")
    assert save(folder, 4).returncode == 0
    agents = Path(shutil.copytree(sb3, tmp_path / "agents"))
    shutil.copy(agents / "rl_model_50_steps.zip", agents / "best_model.zip")
    refused(save(agents, 50), 5, "item 'a' is at step 100")
    assert save(agents, 100).returncode == 0


def test_a_file_in_it_that_is_of_another_step_than_its_name_says_is_refused(
    lightning: Path, sb3: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(lightning, tmp_path / "out"))
    (folder / "epoch=1-step=4.ckpt").rename(folder / "epoch=1-step=6.ckpt")
    refused(save(folder, 6), 5, "'epoch=1-step=6.ckpt' says 6, global_step in it says 4")
    agents = Path(shutil.copytree(sb3, tmp_path / "agents"))
    shutil.copy(agents / "rl_model_50_steps.zip", agents / "rl_model_100_steps.zip")
    refused(save(agents, 100), 5, "'rl_model_100_steps.zip' says 100, num_timesteps in it says 50")


def test_the_folder_of_a_whole_training_is_at_its_newest_subfolder(tmp_path: Path) -> None:
    for step in (4, 8):
        folder = tmp_path / "out" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        save_file({"weight": torch.ones(2)}, folder / "model.safetensors")
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    refused(save(tmp_path / "out", 999), 5, "item 'a' is at step 8")
    refused(save(tmp_path / "out", 4), 5, "item 'a' is at step 8")
    assert save(tmp_path / "out", 8).returncode == 0


def test_a_folder_of_distributed_checkpoints_is_at_the_newest(tmp_path: Path) -> None:
    import torch.distributed.checkpoint as dcp

    for step in (5, 10):
        with warnings.catch_warnings(action="ignore"):  # it says that there is only one process
            dcp.save({"w": torch.ones(3)}, checkpoint_id=tmp_path / "out" / f"step-{step}", no_dist=True)
    refused(save(tmp_path / "out", 5), 5, "item 'a' is at step 10")
    assert save(tmp_path / "out", 10).returncode == 0


@pytest.mark.parametrize("name", ["policy.pt", "fold1/model.safetensors", "checkpoint_3/model.safetensors"])
def test_beside_weights_of_unknown_step_nothing_is_claimed(name: str, lightning: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(lightning, tmp_path / "out"))
    (folder / name).parent.mkdir(exist_ok=True)
    if name.endswith(".pt"):
        torch.save({"w": torch.ones(2)}, folder / name)
    else:
        save_file({"w": torch.ones(2)}, folder / name)
    assert save(folder, 999).returncode == 0, "they may be the newest, and what the others are for"


def test_agents_that_are_named_by_the_episode_are_at_any_step(sb3: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for episode, step in ((1, 50), (2, 100)):
        shutil.copy(sb3 / f"rl_model_{step}_steps.zip", tmp_path / "out" / f"ep{episode:06}.zip")
    assert save(tmp_path / "out", 2).returncode == 0
    assert inside("save", "one", "--step", "2", f"a:files={tmp_path / 'out' / 'ep000002.zip'}",
                  store=tmp_path / "store").returncode == 0  # fmt: skip
