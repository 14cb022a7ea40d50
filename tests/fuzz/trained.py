"""Files as a trainer leaves them, one of them the fuzzer's: what each trainer makes of them, asked as adopt asks."""

import io
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

from ckptkit.layouts import FOREIGN, Listing, claimed
from ckptkit.trainers import TRAINERS, Seen


def asked(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put files into a folder of their own, and ask the trainer of each checkpoint that is found there."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    names = os.listdir(folder)
    folders = [name for name in names if (folder / name).is_dir()]
    listing = Listing(
        folders, [name for name in names if name not in folders], lambda path: os.path.lexists(folder / path)
    )
    for layout, found in claimed(FOREIGN, listing):
        if layout.kind in TRAINERS:
            seen = Seen(folder, found, listing)
            for reason in TRAINERS[layout.kind].judge(seen).reasons:
                assert reason
            TRAINERS[layout.kind].told(seen)


def as_json(data: bytes) -> dict[str, bytes]:
    """Return what the Trainer, LeRobot, DeepSpeed and Orbax write in JSON and text."""
    return {
        "checkpoint-4/trainer_state.json": data,
        "checkpoint-4/model.safetensors.index.json": data,
        "checkpoint-4/config.json": b"{}",
        "000002/training_state/training_step.json": data,
        "000002/pretrained_model/config.json": b"{}",
        "global_step4/mp_rank_00_model_states.pt": b"",
        "latest": data[:200],
        "4/_CHECKPOINT_METADATA": data,
        "4/metrics/metrics": data,
    }


def as_zip(data: bytes) -> dict[str, bytes]:
    """Return a checkpoint of Lightning, an agent, a model of Keras, and a file of torch."""
    return {"epoch=0-step=4.ckpt": data, "rl_model_4_steps.zip": data, "ckpt_4.keras": data, "step4.pt": data}


def as_arrays(data: bytes) -> dict[str, bytes]:
    """Return an agent with the evaluations that are beside it."""
    return {"rl_model_4_steps.zip": AGENT, "evaluations.npz": data}


def as_yaml(data: bytes) -> dict[str, bytes]:
    """Return an agent of RL Zoo with its settings, and Lightning's."""
    return {
        "CartPole-v1.zip": AGENT, "CartPole-v1/args.yml": data, "CartPole-v1/config.yml": data, "config.yaml": data,
        "epoch=0-step=4.ckpt": b"", "hparams.yaml": data,
    }  # fmt: skip


def as_pickle(data: bytes) -> dict[str, bytes]:
    """Return what accelerate and DCP write as pickles."""
    return {
        "checkpoint_4/random_states_0.pkl": data,
        "checkpoint_4/optimizer.bin": data,
        "step4/.metadata": data,
        "step4/__0_0.distcp": b"",
        "checkpoint-4/training_args.bin": data,
    }


def _agent() -> bytes:

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("data"), b'{"num_timesteps": 4}')
    return buffer.getvalue()


AGENT = _agent()

FORMS = {b"j": as_json, b"z": as_zip, b"a": as_arrays, b"y": as_yaml, b"p": as_pickle}
"""By the byte that stands before what the fuzzer changes."""
