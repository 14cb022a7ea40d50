"""How files become half-written, or pieces of different moments; each way is tried on a fresh copy."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks.held_files import kinds
from benchmarks.held_files.kinds import Held


def copied(held: Held, root: Path, place: Path) -> Held:
    """Return the same files in another place, with all that lies beside them."""
    shutil.copytree(root, place, symlinks=True)
    return replace(held, path=place / held.path.relative_to(root))


def files_of(held: Held) -> list[str]:
    """Return the files that a save would take, relative to the path; for a single file also those beside it."""
    if held.path.is_dir():
        return sorted(f.relative_to(held.path).as_posix() for f in held.path.rglob("*") if f.is_file())
    number = "".join(c for c in held.path.stem.rpartition("_steps")[0] if c.isdigit())
    beside = [f.name for f in held.path.parent.glob(f"*_{number}_steps.*")] if number else []
    return sorted({held.path.name, *beside})


def _file(held: Held, name: str) -> Path:
    return (held.path if held.path.is_dir() else held.path.parent) / name


def empty(held: Held, name: str) -> None:
    _file(held, name).write_bytes(b"")


def half(held: Held, name: str) -> None:
    file = _file(held, name)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def last_byte(held: Held, name: str) -> None:
    file = _file(held, name)
    file.write_bytes(file.read_bytes()[:-1])


def gone(held: Held, name: str) -> None:
    _file(held, name).unlink()


WAYS: Mapping[str, Callable[[Held, str], None]] = {
    "0 bytes": empty,
    "cut in half": half,
    "last byte missing": last_byte,
    "file missing": gone,
}


def moments(root: Path) -> Iterator[tuple[str, str, Held]]:
    """Yield pieces of different moments: kind, how, and the files; ``root`` is an empty folder."""
    held = kinds.hugging_face(root / "hf")
    for names in (["optimizer.pt"], ["scheduler.pt"], ["optimizer.pt", "scheduler.pt"], ["trainer_state.json"]):
        one = copied(held, root / "hf", root / "-".join(["hf", *names]))
        for name in names:
            shutil.copy(root / "hf" / "checkpoint-4" / name, one.path / name)
        yield "Trainer", f"{' and '.join(names)} of checkpoint-4 in checkpoint-6", one
    yield "Trainer", "checkpoint-6 as step 7", replace(held, step=7)
    held = kinds.accelerate(root / "accelerate")
    yield "accelerate", "`checkpoint_2`, its second save, at step 6", held
    held = kinds.lightning(root / "lightning")
    yield "Lightning", "`epoch=1-step=8.ckpt` as step 7", replace(held, step=7)
    renamed = replace(held, path=held.path.rename(held.path.with_name("epoch=2-step=12.ckpt")), step=12)
    yield "Lightning", "the same, renamed `epoch=2-step=12.ckpt`, as step 12", renamed
    held = kinds.sb3(root / "sb3")
    yield "SB3", "`rl_model_300_steps.zip` as step 999", replace(held, step=999)
    shutil.copy(root / "sb3" / "rl_model_150_steps.zip", held.path)
    yield "SB3", "the zip of 150 steps under the name of 300", held
    held = kinds.lerobot(root / "lerobot")
    other = kinds.lerobot(root / "other", 2)
    for name in ("optimizer_state.safetensors", "scheduler_state.json", "training_step.json"):
        one = copied(held, root / "lerobot", root / f"lerobot-{name}")
        shutil.copy(other.path / "training_state" / name, one.path / "training_state" / name)
        yield "LeRobot", f"{name} of step 2 in step 4", one


def folders(root: Path) -> Iterator[tuple[str, str, Held]]:
    """Yield folders with more in them than files: kind, how, and the files."""
    held = kinds.deepspeed(root / "deepspeed")
    yield "Trainer", "`global_step6/` in it", held
    for how, link, target in (
        ("a link to a folder in it", "newest", "global_step6"),
        ("a link that leaves it", "vocab.txt", str(root / "secret")),
        ("a link that leads nowhere", "vocab.txt", "gone"),
    ):
        (root / "secret").write_text("hunter2")
        one = copied(held, root / "deepspeed", root / how.replace(" ", "-"))
        (one.path / link).symlink_to(target)
        yield "Trainer", how, one
    output = kinds.hugging_face(root / "output")
    for name in ("model.safetensors", "config.json"):
        shutil.copy(output.path / name, root / "output" / name)
    yield "Trainer", "the folder of the training, with three checkpoints in it", replace(output, path=root / "output")
