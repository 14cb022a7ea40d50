"""What the table of adopted files says of a missing piece is what the trainers themselves do."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.matrix


def hugging_face(root: Path) -> dict[str, Any]:
    import torch
    import trainer_files
    from transformers import AutoModelForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

    trainer_files.hugging_face(root)
    whole, seen = root / "checkpoint-2", {}

    class Look(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            seen["moments"] = len(others["optimizer"].state)
            seen["step"] = state.global_step

    class Data(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 16

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"input_ids": torch.full((4,), index), "labels": torch.tensor(index % 2)}

    def resumed(*lost: str) -> Any:
        copy = Path(shutil.copytree(whole, root / "-".join(["copy", *lost]) / "checkpoint-2"))
        for name in lost:
            (copy / name).unlink()
        arguments = TrainingArguments(
            str(root / "more"), max_steps=3, per_device_train_batch_size=8, report_to=[], use_cpu=True,
            disable_tqdm=True, save_strategy="no",
        )  # fmt: skip
        model = AutoModelForSequenceClassification.from_pretrained(whole)
        trainer = Trainer(model, arguments, train_dataset=Data(), callbacks=[Look()])
        try:
            trainer.train(resume_from_checkpoint=str(copy))
        except Exception as error:
            return type(error).__name__
        return dict(seen)

    lost = ("", "optimizer.pt", "scheduler.pt", "trainer_state.json", "rng_state.pth")
    return {name: resumed(*([name] if name else [])) for name in lost}


def accelerate(root: Path) -> dict[str, Any]:
    import torch
    import trainer_files
    from accelerate import Accelerator

    trainer_files.accelerate(root)

    def resumed(lost: str) -> Any:
        copy = Path(shutil.copytree(root / "checkpoint_1", root / f"copy-{lost}"))
        if lost:
            (copy / lost).unlink()
        net = torch.nn.Linear(4, 4)
        optimizer = torch.optim.AdamW(net.parameters())
        one = Accelerator(cpu=True)
        net, optimizer, _ = one.prepare(net, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 1))
        try:
            one.load_state(str(copy))
        except Exception as error:
            return type(error).__name__
        return "went on"

    return {name: resumed(name) for name in ("", "optimizer.bin", "scheduler.bin", "random_states_0.pkl")}


def sb3(root: Path) -> dict[str, Any]:
    import trainer_files
    from stable_baselines3 import SAC

    trainer_files.sb3(root)
    agent = SAC.load(root / "sac" / "rl_model_6_steps.zip")
    before = agent.replay_buffer.size()
    agent.load_replay_buffer(root / "sac" / "rl_model_replay_buffer_6_steps.pkl")
    return {"without": before, "with": agent.replay_buffer.size()}


def run(part: str, folder: Path) -> Any:
    command = [sys.executable, "-W", "ignore", __file__, part, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_hugging_face_trainer(tmp_path: Path) -> None:
    seen = run("hugging_face", tmp_path)
    moments = seen[""]["moments"]
    assert moments > 0
    assert seen[""]["step"] == 2
    assert seen["optimizer.pt"] == {"moments": 0, "step": 2}, "a new optimizer, silently"
    assert seen["scheduler.pt"] == {"moments": 0, "step": 2}, "no optimizer state either, silently"
    assert seen["trainer_state.json"] == "FileNotFoundError", "cannot resume from the folder"
    assert seen["rng_state.pth"] == {"moments": moments, "step": 2}, "goes on with other numbers"


def test_accelerate(tmp_path: Path) -> None:
    assert run("accelerate", tmp_path) == {
        "": "went on",
        "optimizer.bin": "FileNotFoundError",
        "scheduler.bin": "FileNotFoundError",
        "random_states_0.pkl": "went on",
    }


def test_stable_baselines3(tmp_path: Path) -> None:
    assert run("sb3", tmp_path) == {"without": 0, "with": 5}, "the callback saves before the sixth step is stored"


if __name__ == "__main__":
    found = {"hugging_face": hugging_face, "accelerate": accelerate, "sb3": sb3}[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps(found))
