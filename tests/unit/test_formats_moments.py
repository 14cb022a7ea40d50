"""Pieces of different moments are refused or told; what counts something else is left alone."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ckptkit.errors import InconsistentSetError
from ckptkit.formats.moments import Moments, moments
from ckptkit.formats.named_steps import named_step


def optimizer(updates: int, kind: Any = torch.optim.AdamW, **options: Any) -> Any:
    net = torch.nn.Linear(2, 2)
    made = kind(net.parameters(), lr=0.1, **options)
    for _ in range(updates):
        net(torch.ones(1, 2)).sum().backward()
        made.step()
    return made


def scheduler(steps: int, kind: Any = torch.optim.lr_scheduler.StepLR, *settings: Any) -> Any:
    made = kind(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1), *(settings or (1,)))
    made.optimizer._opt_called = True  # it warns of a scheduler that is stepped before its optimizer
    for _ in range(steps):
        made.step()
    return made


def hugging_face(folder: Path, step: int, updates: int, planned: int, ranks: int = 1, scaler: bool = False) -> Path:
    """Write what the Trainer writes, as far as it counts something."""
    folder.mkdir()
    torch.save(optimizer(updates).state_dict(), folder / "optimizer.pt")
    torch.save(scheduler(planned).state_dict(), folder / "scheduler.pt")
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    for rank in range(ranks):
        torch.save({}, folder / (f"rng_state_{rank}.pth" if ranks > 1 else "rng_state.pth"))
    if scaler:
        torch.save(torch.amp.GradScaler("cpu").state_dict(), folder / "scaler.pt")
    return folder


def accelerate(folder: Path, updates: int, planned: int, ranks: int = 1) -> Path:
    folder.mkdir()
    torch.save(optimizer(updates).state_dict(), folder / "optimizer.bin")
    torch.save(scheduler(planned).state_dict(), folder / "scheduler.bin")
    for rank in range(ranks):
        (folder / f"random_states_{rank}.pkl").write_bytes(b"")
    return folder


def lerobot(folder: Path, step: int, updates: int, planned: int | None, amp: bool = False) -> Path:
    state, model = folder / "training_state", folder / "pretrained_model"
    state.mkdir(parents=True)
    model.mkdir()
    flat = {f"state/{i}/step": values["step"] for i, values in optimizer(updates).state_dict()["state"].items()}
    save_file({"state/0/exp_avg": torch.ones(2, 3), **flat}, state / "optimizer_state.safetensors")
    (state / "training_step.json").write_text(json.dumps({"step": step}))
    (model / "train_config.json").write_text(json.dumps({"policy": {"use_amp": amp}}))
    if planned is not None:
        (state / "scheduler_state.json").write_text(json.dumps({"last_epoch": planned}))
    return folder


def of(folder: Path, files: Sequence[str] = ()) -> Moments:
    names = files or sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
    return moments(folder if folder.is_dir() else folder.parent, names if folder.is_dir() else [folder.name], folder)


@pytest.mark.parametrize(
    ("updates", "planned"), [(4, 6), (6, 4), (4, 5), (0, 0)], ids=["optimizer", "scheduler", "both", "never stepped"]
)
def test_an_optimizer_or_scheduler_of_another_checkpoint_is_refused(tmp_path: Path, updates: int, planned: int) -> None:
    folder = hugging_face(tmp_path / "checkpoint-6", 6, updates, planned)
    if updates == planned:
        assert [doubt.partition(":")[0] for doubt in of(folder).doubts] == [
            "scheduler.pt is at step 0, the trainer at 6"
        ]
        return
    with pytest.raises(InconsistentSetError, match="of different moments"):
        of(folder)


def test_optimizer_and_scheduler_of_one_other_checkpoint_are_told(tmp_path: Path) -> None:
    at = of(hugging_face(tmp_path / "checkpoint-6", 6, 4, 4))
    assert at.step == 6
    assert [doubt.partition(":")[0] for doubt in at.doubts] == [
        "optimizer.pt is at step 4, the trainer at 6",
        "scheduler.pt is at step 4, the trainer at 6",
    ]


def test_an_optimizer_that_went_on_from_a_training_before_is_told_not_refused(tmp_path: Path) -> None:
    (doubt,) = of(hugging_face(tmp_path / "checkpoint-6", 6, 12, 6)).doubts
    assert doubt.startswith("optimizer.pt is at step 12")


def test_a_trainers_state_of_another_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InconsistentSetError, match=r"the name 'checkpoint-6' says 6, .* says 4"):
        of(hugging_face(tmp_path / "checkpoint-6", 4, 4, 4))


@pytest.mark.parametrize(
    "options",
    [
        {"updates": 6, "planned": 6},
        {"updates": 5, "planned": 5, "scaler": True},
        {"updates": 6, "planned": 12, "ranks": 2},
    ],
    ids=["equal", "fp16 skips steps", "each process steps the scheduler"],
)
def test_what_belongs_together_is_not_doubted(tmp_path: Path, options: dict[str, Any]) -> None:
    assert of(hugging_face(tmp_path / "checkpoint-6", 6, **options)) == Moments(6, [])


def test_a_scheduler_that_waits_for_a_plateau_and_an_optimizer_that_does_not_count_say_nothing(tmp_path: Path) -> None:
    folder = hugging_face(tmp_path / "checkpoint-6", 6, 6, 6)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer(1))
    plateau.step(1.0)
    torch.save(plateau.state_dict(), folder / "scheduler.pt")
    torch.save(optimizer(2, torch.optim.SGD, momentum=0.9).state_dict(), folder / "optimizer.pt")
    assert of(folder) == Moments(6, [])


def test_deepspeeds_folder_of_another_step_is_told(tmp_path: Path) -> None:
    folder = hugging_face(tmp_path / "checkpoint-6", 6, 6, 6)
    (folder / "latest").write_text("global_step4\n")
    (doubt,) = of(folder).doubts
    assert doubt.startswith("DeepSpeed's global_step4 is at step 4, the trainer at 6")


@pytest.mark.parametrize(("updates", "planned"), [(6, 2), (2, 6), (4, None), (8, None)])
def test_lerobots_pieces_of_different_moments_are_refused(tmp_path: Path, updates: int, planned: int | None) -> None:
    with pytest.raises(InconsistentSetError, match="of different moments"):
        of(lerobot(tmp_path / "000006", 6, updates, planned))


@pytest.mark.parametrize(("updates", "planned", "amp"), [(6, 6, False), (6, None, False), (6, 12, False), (5, 6, True)])
def test_lerobots_pieces_of_one_moment_are_kept(tmp_path: Path, updates: int, planned: int | None, amp: bool) -> None:
    assert of(lerobot(tmp_path / "000006", 6, updates, planned, amp)) == Moments(6, [])


@pytest.mark.parametrize(("updates", "planned"), [(8, 8), (8, 2), (8, 0)], ids=["by the step", "by the epoch", "never"])
def test_accelerates_counter_of_saves_is_no_step_and_its_schedules_may_be_slower(
    tmp_path: Path, updates: int, planned: int
) -> None:
    assert of(accelerate(tmp_path / "checkpoint_2", updates, planned)) == Moments(None, [])


def test_a_scheduler_ahead_of_accelerates_optimizer_is_told_unless_all_processes_step_it(tmp_path: Path) -> None:
    assert of(accelerate(tmp_path / "checkpoint_0", 4, 8)).doubts == [
        "scheduler.bin is at step 8, optimizer.bin at 4: they may be from different moments"
    ]
    assert of(accelerate(tmp_path / "checkpoint_1", 4, 8, ranks=2)) == Moments(None, [])


def test_a_lightning_file_is_at_its_global_step_and_its_name_must_agree(tmp_path: Path) -> None:
    content = {"pytorch-lightning_version": "2.6.6", "epoch": 2, "global_step": 48, "state_dict": {"w": torch.ones(1)}}
    for name in ("epoch=2-step=48.ckpt", "last.ckpt", "epoch=2-step=48-v1.ckpt"):
        torch.save(content, tmp_path / name)
        assert of(tmp_path / name) == Moments(48, [])
    for name in ("epoch=2-step=40.ckpt", "epoch=1-step=48.ckpt"):
        torch.save(content, tmp_path / name)
        with pytest.raises(InconsistentSetError):
            of(tmp_path / name)


FOLDER = ("trainer_state.json", "model.safetensors")


@pytest.mark.parametrize(
    ("name", "files", "step"),
    [
        ("checkpoint-500", FOLDER, 500),
        ("global_step6", FOLDER, 6),
        ("000020", ("pretrained_model/model.safetensors",), 20),
        ("10", ("_CHECKPOINT_METADATA",), 10),
        ("step-5", (".metadata",), 5),
        ("checkpoint_2", ("random_states_0.pkl", "model.safetensors"), None),
        ("checkpoint-500", ("random_states_0.pkl", "model.safetensors"), 500),
        ("checkpoint-3", ("anything.h5",), None),
        ("20", ("anything.h5",), None),
        ("ppo_n_steps_16", FOLDER, None),
        ("max_steps-100", FOLDER, None),
        ("run7", FOLDER, None),
    ],
)
def test_names_of_folders(name: str, files: Sequence[str], step: int | None, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    assert list(named_step(tmp_path / name, files).values()) == ([] if step is None else [step])


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("epoch=2-step=48.ckpt", 48),
        ("rl_model_300_steps.zip", 300),
        ("model-step-40.pt", 40),
        ("actor_step40.safetensors", 40),
        ("checkpoint-7.safetensors", 7),
        ("ckpt-7.index", None),
        ("checkpoint.05.keras", None),
        ("ckpt_05.weights.h5", None),
        ("checkpoint_e3_b10.pt", None),
        ("checkpoint-3.pt", None),
        ("ppo_cosine_1000_steps.pt", None),
        ("n_steps_16.pt", None),
        ("model_v2.pt", None),
    ],
)
def test_names_of_files(name: str, step: int | None, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    assert list(named_step(tmp_path / name, [name]).values()) == ([] if step is None else [step])


def test_an_agent_and_the_buffer_of_another_step_are_of_different_moments(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    names = ["rl_model_100_steps.zip", "rl_model_replay_buffer_50_steps.pkl"]
    assert sorted(named_step(tmp_path / "out", names).values()) == [50, 100]
    whole = [*names, "rl_model_50_steps.zip", "rl_model_replay_buffer_100_steps.pkl"]
    assert named_step(tmp_path / "out", whole) == {}
