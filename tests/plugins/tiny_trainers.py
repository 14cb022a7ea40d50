"""Two tiny trainings of the real libraries, run as programs: ``python tiny_trainers.py hf|accelerate --out FOLDER``.

Each saves at step 4 of 6 and prints a digest of its weights at the end. ``--resume`` takes what the library wrote.
"""

import argparse
import hashlib
from typing import Any

import torch


def hf(out: str, resume: str | None) -> Any:
    """Two layers of a random GPT-2, with the Trainer."""
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed

    set_seed(0)
    rows = [torch.tensor([(i * 7 + j) % 31 for j in range(8)]) for i in range(16)]
    data = [{"input_ids": row, "labels": row} for row in rows]
    model = GPT2LMHeadModel(GPT2Config(vocab_size=31, n_layer=2, n_head=2, n_embd=8, n_positions=16))
    settings = TrainingArguments(
        out, max_steps=6, save_steps=4, per_device_train_batch_size=2, report_to=[], use_cpu=True, disable_tqdm=True
    )
    Trainer(model, settings, train_dataset=data).train(resume_from_checkpoint=resume)  # type: ignore[arg-type]
    return model


def accelerate(out: str, resume: str | None) -> Any:
    """Two layers with dropout, an optimizer and a scheduler, with accelerate."""
    from accelerate import Accelerator
    from accelerate.utils import set_seed

    set_seed(0)
    accelerator = Accelerator(cpu=True)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.1), torch.nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
    batches = torch.arange(48.0).view(6, 2, 4) / 48
    if resume:
        accelerator.load_state(resume)
    for step in range(5 if resume else 1, 7):
        accelerator.backward(model(batches[step - 1]).pow(2).mean())
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        if step == 4 and not resume:
            accelerator.save_state(f"{out}/checkpoint-4")
    return model


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser()
    parser.add_argument("trainer", choices=["hf", "accelerate"])
    parser.add_argument("--out", required=True)
    parser.add_argument("--resume")
    given = parser.parse_args()
    model = {"hf": hf, "accelerate": accelerate}[given.trainer](given.out, given.resume)
    digest = hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest()
    print("digest", digest)


if __name__ == "__main__":
    main()
