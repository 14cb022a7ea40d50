"""Which trainer wrote a folder, and what it needs to continue: the table of the ``safetensors`` backend.

Source: transformers/trainer.py (``_load_from_checkpoint``, ``_load_optimizer_and_scheduler``, ``_load_rng_state``),
accelerate/checkpointing.py (``load_accelerator_state``), lerobot/utils/train_utils.py (``load_training_state``).
"""

import re
from collections.abc import Sequence
from pathlib import Path

from ckptkit.pieces import Piece, Trainer

_ARGUMENTS = "training_args.bin"
_MOST_BYTES = 1 << 20
# In torch's pickle: the text "fp16", put into the memo, then True. Stored, not compressed; never unpickled.
_FP16 = re.compile(rb"X\x04\x00\x00\x00fp16(?:q.|r.{4})\x88", re.DOTALL)

# FSDP's sharded optimizer is DCP; DeepSpeed has a folder for each step, under accelerate one named pytorch_model.
_FSDP_OPTIMIZER = ("optimizer_*/*.distcp",)
_DEEPSPEED_OPTIMIZER = ("global_step*/*optim_states.pt", "pytorch_model/*optim_states.pt")

HUGGING_FACE = Trainer(
    "Hugging Face Trainer",
    ("trainer_state.json", "training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "rng_state_*.pth"),
    (
        Piece(
            "model",
            ("*.safetensors", "*.safetensors.index.json"),
            "the Trainer refuses the folder",
            weights=True,
            carrier="model.safetensors, its shards with their index, or adapter_model.safetensors",
        ),
        Piece(
            "optimizer",
            ("optimizer.pt", "optimizer.bin", *_FSDP_OPTIMIZER, *_DEEPSPEED_OPTIMIZER),
            "the Trainer begins with a new optimizer, silently",
            carrier="optimizer.pt or optimizer.bin",
        ),
        Piece(
            "scheduler",
            ("scheduler.pt", "global_step*/*model_states.pt"),
            "the Trainer then loads no optimizer state either, silently",
            carrier="scheduler.pt",
        ),
        Piece(
            "random generators",
            ("rng_state.pth", "rng_state_*.pth"),
            "dropout and shuffling draw different numbers",
            ranks=True,
        ),
        Piece(
            "trainer state",
            ("trainer_state.json",),
            "the Trainer cannot resume from the folder",
            needed=("*.pt", "rng_state*.pth"),
        ),
        Piece(
            "gradient scaler",
            ("scaler.pt",),
            "the Trainer begins with a new one, silently",
            when="training_args.bin: fp16",
        ),
    ),
)

ACCELERATE = Trainer(
    "accelerate, save_state",
    ("random_states_*.pkl", "optimizer.bin", "scheduler.bin", "dl_state_dict*.bin", "custom_checkpoint_*.pkl"),
    (
        Piece("model", ("*.safetensors",), "load_state() fails", weights=True),
        Piece(
            "optimizer",
            ("optimizer.bin", "optimizer_*.bin", *_FSDP_OPTIMIZER, *_DEEPSPEED_OPTIMIZER),
            "load_state() fails where one was prepared",
            carrier="optimizer.bin",
        ),
        Piece("scheduler", ("scheduler.bin",), "load_state() fails where one was prepared"),
        Piece(
            "random generators",
            ("random_states_*.pkl",),
            "load_state() goes on silently, with different random numbers",
            ranks=True,
        ),
        Piece(
            "data position",
            ("dl_state_dict*.bin",),
            "the loop must skip the batches that were used (use_stateful_dataloader saves it)",
        ),
    ),
)

_IN_TRAINING = ("pretrained_model/*",)
_NO_LEROBOT = "LeRobot cannot resume from the folder"

LEROBOT = Trainer(
    "LeRobot",
    ("training_state/*", "pretrained_model/*", "train_config.json"),
    (
        Piece(
            "configuration of the policy",
            ("pretrained_model/config.json", "config.json"),
            "LeRobot cannot build the policy",
            weights=True,
            needed=_IN_TRAINING,
        ),
        Piece("model", ("pretrained_model/model.safetensors", "model.safetensors"), "LeRobot fails", weights=True),
        Piece(
            "settings",
            ("pretrained_model/train_config.json", "train_config.json"),
            "--resume reads them",
            weights=True,
            needed=_IN_TRAINING,
        ),
        Piece(
            "optimizer",
            ("training_state/optimizer_state.safetensors", "training_state/*/optimizer_state.safetensors"),
            _NO_LEROBOT,
            needed=_IN_TRAINING,
            carrier="training_state/optimizer_state.safetensors",
        ),
        Piece(
            "options of the optimizer",
            ("training_state/optimizer_param_groups.json", "training_state/*/optimizer_param_groups.json"),
            _NO_LEROBOT,
            needed=_IN_TRAINING,
            carrier="training_state/optimizer_param_groups.json",
        ),
        Piece("scheduler", ("training_state/scheduler_state.json",), "LeRobot fails where the policy has one"),
        Piece("random generators", ("training_state/rng_state.safetensors",), _NO_LEROBOT, needed=_IN_TRAINING),
        Piece("step", ("training_state/training_step.json",), _NO_LEROBOT, needed=_IN_TRAINING),
        Piece("data position", (), "LeRobot saves none and begins the data again"),
    ),
)

UNKNOWN = Trainer(
    "any other",
    ("*",),
    (
        Piece("model", ("*.safetensors", "*.safetensors.index.json"), "nothing can be resumed", weights=True),
        Piece(
            "optimizer",
            ("optimizer_state.pth", "optimizer*.pt", "optimizer*.pth", "optimizer*.bin"),
            "it starts over",
            carrier="optimizer_state.pth",
        ),
        Piece(
            "scheduler",
            ("scheduler_state.pth", "scheduler*.pt", "scheduler*.pth", "scheduler*.bin"),
            "a learning-rate schedule starts over",
            carrier="scheduler_state.pth",
        ),
        Piece("random generators", (), "no file is known to hold them; save them as an item of their own"),
        Piece("data position", (), "no file is known to hold it; save it as an item of its own"),
    ),
)

TRAINERS = (HUGGING_FACE, ACCELERATE, LEROBOT, UNKNOWN)
"""In the order in which they are tried."""


def names(directory: Path, files: Sequence[str]) -> list[str]:
    """Return the files of an item, and what the Trainer's arguments among them ask for."""
    if _ARGUMENTS not in files:
        return list(files)
    with (directory / _ARGUMENTS).open("rb") as stream:
        half = _FP16.search(stream.read(_MOST_BYTES)) is not None
    return [*files, *([f"{_ARGUMENTS}: fp16"] if half else [])]
