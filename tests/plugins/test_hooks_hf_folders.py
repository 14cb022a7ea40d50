"""What a Trainer writes into folders of its own (DeepSpeed) is in the store before ``save_total_limit`` deletes it."""

import subprocess
import sys
from pathlib import Path

import pytest

from ckptkit import CheckpointStore

pytestmark = pytest.mark.slow
FILE = "global_step{}/zero_pp_rank_0_mp_rank_00_optim_states.pt"


def train(root: Path) -> None:
    import torch
    from ckptkit_hooks.hf import CheckpointCallback
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

    class WithDeepSpeed(Trainer):
        """Puts the optimizer where DeepSpeed does, which is not installed here."""

        def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
            file = Path(output_dir, FILE.format(self.state.global_step))
            file.parent.mkdir()
            torch.save({"optimizer_state_dict": self.optimizer.state_dict()}, file)
            Path(output_dir, "latest").write_text(file.parent.name)

    rows = [{"input_ids": row, "labels": row} for row in torch.randint(0, 32, (8, 8))]
    arguments = TrainingArguments(
        str(root / "out"), max_steps=2, save_steps=1, save_total_limit=1, per_device_train_batch_size=2, report_to=[],
        use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    model = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=32, n_positions=8))
    hook = CheckpointCallback(root / "store", "run", prove="never")
    WithDeepSpeed(model, arguments, train_dataset=rows, callbacks=[hook]).train()


def test_the_optimizer_in_a_folder_of_its_own_outlives_the_trainers_copy(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", __file__, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not (tmp_path / "out" / "checkpoint-1").exists(), "save_total_limit=1"
    saved = CheckpointStore(tmp_path / "store").verify("run").checkpoints
    assert [(report.at.step, report.good) for report in saved] == [(1, True), (2, True)]
    for step in (1, 2):
        assert (tmp_path / "store" / "run" / f"step-{step:08}" / "trainer" / FILE.format(step)).is_file()


if __name__ == "__main__":
    train(Path(sys.argv[1]))
