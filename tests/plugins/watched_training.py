"""Program: the Hugging Face Trainer, twice, with the same seed: watched_training.py DIR.

In DIR/watched it stops in the middle of its third save until there is a file DIR/go; in DIR/alone nobody watches it.
"""

import hashlib
import sys
import time
from pathlib import Path
from typing import Any

LAST, EVERY, HALF = 12, 2, 6


def train(root: Path, go: Path | None) -> None:
    import torch
    from kept_by_trainers import classifier
    from transformers import Trainer, TrainerState, TrainingArguments, set_seed

    write = TrainerState.save_to_json

    def held(self: Any, path: str) -> None:
        while go and not go.exists() and Path(path).parent.name == f"checkpoint-{HALF}":
            time.sleep(0.05)
        write(self, path)

    set_seed(0)
    TrainerState.save_to_json = held
    rows = [{"input_ids": torch.full((4,), index), "labels": torch.tensor(index % 2)} for index in range(16)]
    arguments = TrainingArguments(
        str(root), save_steps=EVERY, max_steps=LAST, per_device_train_batch_size=8, report_to=[], use_cpu=True,
        disable_tqdm=True, logging_steps=2,
    )  # fmt: skip
    trainer = Trainer(classifier(), arguments, train_dataset=rows)
    trainer.train()
    TrainerState.save_to_json = write
    weights = b"".join(value.numpy().tobytes() for value in trainer.model.state_dict().values())
    print("ended", trainer.state.global_step, hashlib.sha256(weights).hexdigest(), flush=True)


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve()
    train(folder / "watched", folder / "go")
    train(folder / "alone", None)
