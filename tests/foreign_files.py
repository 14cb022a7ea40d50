"""Small checkpoints as trainers write them, byte by byte: no framework is needed. Real ones are in tests/plugins."""

import hashlib
import json
import os
import pickle
import zipfile
from pathlib import Path

TREE = dict[str, str]


def safetensors(path: Path, fill: int = 0) -> Path:
    """Write a file of one tensor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = json.dumps({"weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes([fill % 256]) * 8)
    return path


def hugging_face(output: Path, step: int, **logged: float) -> Path:
    """Write what the Trainer writes where it saves the model only, its state last."""
    folder = output / f"checkpoint-{step}"
    safetensors(folder / "model.safetensors", step)
    (folder / "config.json").write_text('{"model_type": "tiny"}')
    state = {"global_step": step, "epoch": step / 4, "log_history": [{"step": step, "epoch": step / 4, **logged}]}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    return folder


def half_hugging_face(output: Path, step: int) -> Path:
    """Write what is there when the Trainer is killed in its save."""
    folder = hugging_face(output, step)
    (folder / "trainer_state.json").unlink()
    return folder


def episode(folder: Path, number: int) -> Path:
    """Write weights of no known trainer."""
    return safetensors(folder / f"ep{number:06d}.safetensors", number)


def torch_like(path: Path) -> Path:
    """Write a zip as ``torch.save`` lays it out: a dict of an int, ``{"step": 7}``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00X\x04\x00\x00\x00stepq\x01K\x07s.")
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return path


def lightning(output: Path, step: int, loss: float) -> Path:
    """Write what Lightning does with a ``ModelCheckpoint(monitor="val_loss")``, without its tensors."""
    path = output / f"epoch=0-step={step}.ckpt"
    monitored = {"monitor": "val_loss", "best_k_models": {f"/elsewhere/{path.name}": loss}}
    key = "ModelCheckpoint{'monitor': 'val_loss', 'mode': 'min', 'every_n_train_steps': 0}"
    content = {"epoch": 0, "global_step": step, "pytorch-lightning_version": "2.6.6", "callbacks": {key: monitored}}
    output.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return path


def agent(path: Path, steps: int) -> Path:
    """Write a zip as Stable-Baselines3's ``save`` does, without its tensors."""
    part = torch_like(path.with_suffix(".part"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", json.dumps({"num_timesteps": steps}))
        for name in ("policy.pth", "policy.optimizer.pth", "pytorch_variables.pth"):
            archive.write(part, name)
        archive.writestr("_stable_baselines3_version", "2.9.2")
    part.unlink()
    return path


def tree(root: Path, *, ours: bool = False) -> TREE:
    """Return a digest of every file below a folder, by path; those of ckptkit's own are left out."""
    found = {}
    for folder, folders, files in os.walk(root):
        if not ours and ".ckptkit" in folders:
            folders.remove(".ckptkit")
        for name in files:
            path = Path(folder, name)
            if ours or not name.endswith(".manifest.json"):
                digest = os.readlink(path) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
                found[path.relative_to(root).as_posix()] = digest
    return found
