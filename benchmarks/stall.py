"""How long a training stands still in ``save(wait=False)``, beside one copy of the same bytes in memory.

``python -m benchmarks.stall [--case NAME ...] [--rounds 5] [--folder DIR] [--json FILE]`` saves with every backend, and
through every hook, each in a process of its own: once after ``reserve``, then ``--rounds`` times more, each when the
one before is durable and a copy of as many bytes into populated memory was timed. *Stall* is what the call took on the
clock, and of the process' processor time: of a hook everything that its callback does. *Ratio* is the median over the
rounds, to the copy made right before. Of small states, where what is fixed decides, there is none.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.in_turns import options
from ckptkit import CheckpointStore, Schedule

RUN, SIDE = "run", 2048  # rows and columns of a weight: 16 MiB, and twice that in the optimizer
LAYERS = 3
SMALL = 8 << 20  # bytes
Taken = tuple[float, float]
"""Seconds on the clock, and of processor time."""


def now() -> Taken:
    """Return the time."""
    return time.perf_counter(), time.process_time()


def since(began: Taken) -> Taken:
    """Return what was taken since then."""
    return time.perf_counter() - began[0], time.process_time() - began[1]


class Watched(CheckpointStore):
    """A store that, before each save, waits for the one before and copies as many bytes; neither counts as stall."""

    def __init__(self, url: Path) -> None:
        super().__init__(url)
        self.copies: list[Taken] = []
        self.stalls: list[Taken] = []
        self.size = 0
        self._apart = (0.0, 0.0)
        self._handle: Any = None
        self._saves = 0

    def save(self, *given: Any, **how: Any) -> Any:
        """Save, after what is not counted."""
        self._between()
        self._handle = super().save(*given, **how)
        return self._handle

    def adopt(self, *given: Any, **how: Any) -> Any:
        """Adopt, after what is not counted."""
        self._between()
        self._handle = super().adopt(*given, **how)
        return self._handle

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the same call, of which those that save are noted."""

        def noted(*given: Any, **how: Any) -> Any:
            saves, apart, began = self._saves, self._apart, now()
            result = call(*given, **how)
            if self._saves > saves:
                wall, cpu = since(began)
                self.stalls.append((wall - self._apart[0] + apart[0], cpu - self._apart[1] + apart[1]))
            return result

        return noted

    def _between(self) -> None:
        began = now()
        self._saves += 1
        if self._handle is not None:
            committed = getattr(self._handle, "result", lambda: self._handle)()
            if not self.size:
                self.size = sum(file.size for item in committed.manifest.items.values() for file in item.files)
                self._source, self._target = np.ones(self.size, np.uint8), np.ones(self.size, np.uint8)
            copying = now()
            np.copyto(self._target, self._source)
            self.copies.append(since(copying))
        wall, cpu = since(began)
        self._apart = self._apart[0] + wall, self._apart[1] + cpu


def in_a_loop(
    store: Watched, rounds: int, items: Callable[[int], Mapping[str, Any]], *, step: Any = None, **how: Any
) -> None:
    """Save what a plain loop has, by the store itself."""
    store.reserve(items(0))
    save = store.timed(lambda number: store.save(RUN, number, items(number), wait=False, **how))
    for number in range(rounds + 1):
        if step is not None:
            step()
        save(number)


def safetensors(store: Watched, folder: Path, rounds: int) -> None:
    from benchmarks.save_large import trained

    policy = trained(144)
    in_a_loop(store, rounds, lambda _: {"policy": policy})


def numpy_rng(store: Watched, folder: Path, rounds: int) -> None:
    from ckptkit_numpy import GlobalRng

    generator = np.random.default_rng(0)
    in_a_loop(store, rounds, lambda _: {"numpy": generator, "rng": GlobalRng()}, step=generator.random)


def _file(folder: Path) -> Path:
    path = folder / "state.bin"
    path.write_bytes(np.random.default_rng(0).bytes(128 << 20))
    return path


def files(store: Watched, folder: Path, rounds: int) -> None:
    from ckptkit_files import Written

    from ckptkit.backend import Captured

    path = _file(folder)
    in_a_loop(store, rounds, lambda number: {"state": Written({path.name: path}, Captured(), step=number)})


def a_path(store: Watched, folder: Path, rounds: int) -> None:
    from ckptkit import Files

    path = _file(folder)
    in_a_loop(store, rounds, lambda _: {"state": Files(path, backend="files")})


def sb3(store: Watched, folder: Path, rounds: int, **how: Any) -> None:
    from benchmarks.save_replay import with_replay

    model = with_replay(3_000_000)
    in_a_loop(store, rounds, lambda _: {"agent": model}, **how)


def tf_data(store: Watched, folder: Path, rounds: int, **how: Any) -> None:
    import tensorflow as tf
    from ckptkit_tfdata import PersistentIterator

    def rows() -> Any:
        elements = tf.data.Dataset.range(1 << 20).map(lambda i: tf.fill([12_800], tf.cast(i, tf.float32)))
        return elements.shuffle(2048, seed=1).batch(8)

    data = PersistentIterator(rows)
    in_a_loop(store, rounds, lambda _: {"data": data}, step=lambda: next(data), **how)


def torch_data(store: Watched, folder: Path, rounds: int) -> None:
    import torch
    from ckptkit_torchdata import ResumableLoader

    rows = torch.utils.data.TensorDataset(torch.randn(10_000, 64))
    data = ResumableLoader(lambda: torch.utils.data.DataLoader(rows, batch_size=32, shuffle=True))
    batches = iter(data)
    in_a_loop(store, rounds, lambda _: {"data": data}, step=lambda: next(batches))


def hook_of_the_trainer(store: Watched, folder: Path, rounds: int, *, copied: bool = False) -> None:
    import torch
    from ckptkit_hooks.hf import CheckpointCallback
    from transformers import Trainer, TrainingArguments

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(*(torch.nn.Linear(SIDE, SIDE) for _ in range(LAYERS)))

        def forward(self, x: Any, labels: Any = None) -> Any:
            return {"loss": (self.layers(x) - labels).square().mean()}

    rows = [{"x": row, "labels": row} for row in torch.randn(8, SIDE)]
    output = folder / "output" if copied else store.storage.run_folder(RUN)
    arguments = TrainingArguments(
        str(output), max_steps=rounds + 1, save_steps=1, report_to=[], use_cpu=True, disable_tqdm=True
    )
    hook = CheckpointCallback(store, RUN, wait=False, prove="never")
    hook.on_save = store.timed(hook.on_save)
    Trainer(Net(), arguments, train_dataset=rows, callbacks=[hook]).train()


def hook_of_lightning(store: Watched, folder: Path, rounds: int) -> None:
    import torch
    from ckptkit_hooks.lightning_ import CheckpointCallback
    from lightning.pytorch import LightningModule, Trainer

    class Net(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(*(torch.nn.Linear(SIDE, SIDE) for _ in range(LAYERS)))

        def training_step(self, batch: Any, _: int) -> Any:
            return self.layers(batch).square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters())

    schedule = Schedule(every_steps=1)
    hook = CheckpointCallback(store, RUN, schedule=schedule, wait=False, prove="never")
    hook.on_train_batch_end = store.timed(hook.on_train_batch_end)
    store.reserve(3 * LAYERS * 4 * SIDE * (SIDE + 1) + (1 << 20))
    quiet: Any = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = Trainer(max_steps=rounds + 1, callbacks=[hook], default_root_dir=folder, **quiet)
    trainer.fit(Net(), torch.utils.data.DataLoader(torch.randn(rounds + 9, SIDE)))


def hook_of_keras(store: Watched, folder: Path, rounds: int) -> None:
    import keras
    from ckptkit_hooks.keras_ import CheckpointCallback

    model = keras.Sequential([keras.Input((SIDE,)), *(keras.layers.Dense(SIDE) for _ in range(LAYERS))])
    model.compile("adam", "mse")
    rows = np.random.default_rng(0).random((8, SIDE), dtype=np.float32)
    hook = CheckpointCallback(store, RUN, wait=False, prove="never")
    hook.on_epoch_end = store.timed(hook.on_epoch_end)
    store.reserve(3 * LAYERS * 4 * SIDE * (SIDE + 1) + (1 << 20))
    hook.fit(model, rows, rows, epochs=rounds + 1, batch_size=8, verbose=0)


def hook_of_sb3(store: Watched, folder: Path, rounds: int) -> None:
    from ckptkit_hooks.sb3 import CheckpointCallback

    from benchmarks.save_replay import with_replay

    model = with_replay(3_000_000)
    store.reserve({"agent": model})
    hook = CheckpointCallback(store, RUN, schedule=Schedule(every_steps=50), wait=False, prove="never")
    setattr(store, "save", store.timed(store.save))  # noqa: B010 - all that the hook does in a save
    hook.resume_or_start(model, model.num_timesteps + 50 * (rounds + 1), reset_num_timesteps=False)


CASES: dict[str, Callable[[Watched, Path, int], None]] = {
    "`safetensors`: a model and its AdamW": safetensors,
    "`sb3`: SAC with a full replay buffer": sb3,
    "the same, no probe": lambda *given: sb3(*given, probe=False),
    "`tf-data`: 2,048 elements in a shuffle buffer": tf_data,
    "the same data, no probe": lambda *given: tf_data(*given, probe=False),
    "`files`: a `Written`": files,
    "`files`: a path": a_path,
    "`numpy-rng`: generators": numpy_rng,
    "`torch-data`: a loader of 10,000 rows": torch_data,
    "hook of the Trainer, in place": hook_of_the_trainer,
    "hook of the Trainer, copied into a store": lambda *given: hook_of_the_trainer(*given, copied=True),
    "hook of Lightning": hook_of_lightning,
    "hook of Keras": hook_of_keras,
    "hook of Stable-Baselines3: SAC, full buffer": hook_of_sb3,
}


def measured(name: str, rounds: int, folder: Path) -> dict[str, Any]:
    """Return the figures of one case, in this process: of time in ms."""
    import torch

    torch.set_num_threads(1)
    store = Watched(folder / "store")
    CASES[name](store, folder, rounds)
    store.wait()
    first, later = store.stalls[0], store.stalls[1 : rounds + 1]
    copies = store.copies[: len(later)]
    found: dict[str, Any] = {"bytes": store.size, "first_ms": 1000 * first[0], "first_cpu_ms": 1000 * first[1]}
    for which, kind in enumerate(("", "cpu_")):
        found[f"{kind}ms"] = spread([1000 * taken[which] for taken in later])
        found[f"copy_{kind}ms"] = spread([1000 * taken[which] for taken in copies])
        if store.size >= SMALL:
            pairs = zip(later, copies, strict=True)
            found[f"{kind}ratio"] = statistics.median(taken[which] / copy[which] for taken, copy in pairs)
            found[f"first_{kind}ratio"] = first[which] / statistics.median(copy[which] for copy in copies)
    return found


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def alone(name: str, rounds: int, within: Path) -> dict[str, Any]:
    """Return the figures of one case, from a process of its own."""
    with tempfile.TemporaryDirectory(dir=within) as folder:
        command = [sys.executable, "-m", "benchmarks.stall", "--case", name]
        command += ["--rounds", str(rounds), "--folder", folder, "--inner"]
        quiet = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=quiet)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def row(name: str, found: Mapping[str, Any]) -> str:
    """Return a line of the table."""
    later, copy = found["ms"], found["copy_ms"]
    cells = [name, f"{found['bytes'] / 1e6:.0f}", f"{copy['median']:.0f}", f"{found['first_ms']:.0f}"]
    cells.append(f"{later['median']:.0f} ({later['min']:.0f} to {later['max']:.0f})")
    for ratio in ("first_ratio", "ratio", "first_cpu_ratio", "cpu_ratio"):
        cells.append(f"{found[ratio]:.1f}" if ratio in found else "")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure, print a table, and write JSON where that was asked for."""
    parser = options(__doc__, rounds=5)
    parser.add_argument("--folder", type=Path, help="on the file system to measure", default=Path.cwd())
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--inner", action="store_true", help="in this process, and JSON alone")
    asked = parser.parse_args()
    if asked.inner:
        print(json.dumps(measured(asked.case[0], asked.rounds, asked.folder)))
        return
    print("| what | MB | copy, ms | first, ms | later, ms | first | later | first, CPU | later, CPU |")
    print("|---|---|---|---|---|---|---|---|---|")
    told = {}
    for name in asked.case or CASES:
        told[name] = alone(name, asked.rounds, asked.folder)
        print(row(name, told[name]), flush=True)
    text = json.dumps({"rounds": asked.rounds, "load": os.getloadavg()[0], "cases": told}, indent=1)
    if asked.json is None:
        print(f"\n{text}")
    else:
        asked.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
