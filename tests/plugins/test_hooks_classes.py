"""The callbacks that hooks return are of ordinary classes, imported only when one is made."""

import subprocess
import sys
from pathlib import Path

import pytest

BASES = {
    "sb3": "stable_baselines3.common.callbacks.BaseCallback",
    "hf": "transformers.TrainerCallback",
    "lightning_": "lightning.pytorch.callbacks.Callback",
    "keras_": "keras.callbacks.Callback",
}


def run(program: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


SOME = ("hf", "sb3")


@pytest.mark.parametrize(
    "hook", [*SOME, *(pytest.param(hook, marks=pytest.mark.matrix) for hook in BASES if hook not in SOME)]
)
def test_the_class_of_a_callback_is_pickled_by_its_name_and_read_in_a_new_process(hook: str, tmp_path: Path) -> None:
    module, _, base = BASES[hook].rpartition(".")
    write = f"""
import pickle
from ckptkit_hooks.{hook} import CheckpointCallback
made = CheckpointCallback("store", "run")
open("class.pickle", "wb").write(pickle.dumps(type(made)))
"""
    read = f"""
import pickle
found = pickle.load(open("class.pickle", "rb"))
from {module} import {base}
print(found.__module__, found.__qualname__, issubclass(found, {base}))
"""
    run(write, tmp_path)
    name, qualname, is_callback = run(read, tmp_path).split()
    assert name.startswith("ckptkit_hooks.")
    assert (qualname, is_callback) == ("CheckpointCallback", "True")


def test_the_backend_of_keras_may_be_chosen_after_the_hook_is_imported(tmp_path: Path) -> None:
    program = """
from ckptkit_hooks.keras_ import CheckpointCallback
import os
os.environ["KERAS_BACKEND"] = "torch"
CheckpointCallback("store", "run")
import keras
print(keras.backend.backend())
"""
    assert run(program, tmp_path) == "torch"


@pytest.mark.parametrize(
    ("package", "module"),
    [
        ("lightning.pytorch", "lightning"),
        pytest.param("pytorch_lightning", "pytorch_lightning", marks=pytest.mark.matrix),
    ],
)
def test_the_package_of_lightning_is_the_one_that_is_imported_when_the_callback_is_made(
    package: str, module: str, tmp_path: Path
) -> None:
    program = f"""
from ckptkit_hooks.lightning_ import CheckpointCallback
import {package} as pl, sys
assert {{"lightning", "pytorch_lightning"}} & set(sys.modules) == {{"{module}"}}
made = CheckpointCallback("store", "run")
trainer = pl.Trainer(callbacks=[made], logger=False, enable_progress_bar=False)
print(isinstance(made, pl.Callback), trainer.callbacks[-1] is made)
"""
    assert run(program, tmp_path) == "True True"
