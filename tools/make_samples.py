"""Write plugins/ckptkit_samples/hf.zip anew: a Hugging Face Trainer that is killed in its third save.

    python tools/make_samples.py

Run it in an empty folder with the extra `transformers`; it takes a minute. The files are the Trainer's own.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "plugins" / "ckptkit_samples" / "hf.zip"
EPOCH = (2026, 1, 1, 0, 0, 0)


def train() -> None:
    """Train a language model of 600 numbers, and end at once in the middle of the save of step 1500."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

    class Counting(torch.utils.data.Dataset[dict[str, Any]]):
        def __len__(self) -> int:
            return 64

        def __getitem__(self, index: int) -> dict[str, Any]:
            words = (torch.arange(8) + index) % 16
            return {"input_ids": words, "labels": words}

    class Killed(Trainer):
        def _save_rng_state(self, output_dir: str) -> None:
            if output_dir.endswith("-1500"):
                os._exit(9)
            super()._save_rng_state(output_dir)

    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=16, max_position_embeddings=8, **sizes))
    arguments = TrainingArguments(
        "hf",
        max_steps=1500,
        save_steps=500,
        logging_steps=500,
        eval_strategy="steps",
        eval_steps=500,
        per_device_train_batch_size=4,
        learning_rate=3e-3,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    Killed(model, arguments, train_dataset=Counting(), eval_dataset=Counting()).train()


def pack() -> None:
    """Pack what it left."""
    with zipfile.ZipFile(TARGET, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(Path("hf").rglob("*")):
            if path.is_file():
                archive.writestr(zipfile.ZipInfo(path.as_posix(), EPOCH), path.read_bytes(), zipfile.ZIP_DEFLATED)
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    if sys.argv[1:] == ["train"]:
        train()
    else:
        subprocess.run([sys.executable, __file__, "train"], check=False)  # it ends killed, as it shall
        pack()
