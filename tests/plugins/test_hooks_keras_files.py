"""What the Keras hook writes while training goes on is what Keras writes while it waits, of the moment of the save."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ckptkit_hooks import keras_state
from ckptkit_hooks.keras_ import CheckpointCallback
from ckptkit_hooks.keras_files import KerasFiles

from ckptkit import CheckpointStore
from ckptkit.backend import SnapshotContext
from ckptkit.errors import BackendError
from tests.plugins import keras_models
from tests.plugins.keras_models import MODELS, filled, sequential

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword"),  # Keras with NumPy 2
]

RUN = "keras/run1"


@pytest.fixture(scope="module")
def model_of() -> Callable[[str], Any]:
    made: dict[str, Any] = {}
    return lambda name: made.get(name) or made.setdefault(name, filled(MODELS[name]()))


def files_of(model: Any, arrays: dict[str, Any], reasons: list[Exception] | None = None) -> KerasFiles:
    return KerasFiles(model, {"steps": 2}, arrays, ([] if reasons is None else reasons).append)


def created(path: Path) -> Any:
    return path.open("xb")


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def overwrite(model: Any) -> None:
    for variable in keras_state.all_variables(model):
        variable.assign(keras.ops.zeros_like(variable) + 1)


@pytest.mark.parametrize("name", MODELS)
def test_a_file_from_copies_is_the_one_that_this_keras_writes(
    model_of: Callable[[str], Any], name: str, tmp_path: Path
) -> None:
    """If this fails, Keras saves in another way than it did: look at ``keras_recorder`` before anything else."""
    copies, usual = keras_models.both(model_of(name), tmp_path / name)
    assert copies == usual


@pytest.mark.matrix
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_file_from_copies_is_the_same_on_other_backends_and_of_the_moment_of_a_sigterm(
    backend: str, tmp_path: Path
) -> None:
    script = Path(keras_models.__file__)
    environment = {**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=False)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told == [[name, backend, True] for name in (*MODELS, "stopped")], done.stderr


@pytest.mark.parametrize("name", ["plain", "own", "averaged"])
def test_what_changes_after_the_copy_is_not_in_the_files(
    model_of: Callable[[str], Any], name: str, tmp_path: Path
) -> None:
    model, array = filled(model_of(name)), np.arange(5.0)
    (tmp_path / "waited").mkdir()
    files_of(model, {"value-0": array}).write(tmp_path / "waited", created)
    write = files_of(model, {"value-0": array}).apart(SnapshotContext(step=1))
    array += 1
    overwrite(model)
    (tmp_path / "behind").mkdir()
    write(tmp_path / "behind", created)
    assert content(tmp_path / "behind") == content(tmp_path / "waited")
    assert set(content(tmp_path / "waited")) == set(KerasFiles.names)


def test_each_variable_is_copied_once_into_the_memory_of_the_save(model_of: Callable[[str], Any]) -> None:
    model, taken = model_of("plain"), list[int]()

    def memory(size: int) -> memoryview:
        taken.append(size)
        return memoryview(bytearray(size))

    files_of(model, {}).apart(SnapshotContext(step=1, memory=memory))
    variables = keras_state.all_variables(model)
    assert sorted(taken) == sorted(keras.ops.convert_to_numpy(variable).nbytes for variable in variables)


def test_the_optimizer_is_left_as_it_was(model_of: Callable[[str], Any]) -> None:
    model = sequential(keras_models.Looks())
    before = set(vars(model.optimizer))
    files_of(model, {}).apart(SnapshotContext(step=1))
    assert set(vars(model.optimizer)) == before


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: sequential(keras_models.Looks()), "_h5_entry_group"),
        (lambda: sequential(kind=keras_models.OwnFile), "OwnFile has a save_weights of its own"),
    ],
)
def test_a_model_that_saves_in_a_way_of_its_own_is_written_by_keras_while_training_waits(
    make: Callable[[], Any], why: str, tmp_path: Path
) -> None:
    model, reasons = filled(make()), list[Exception]()
    (tmp_path / "waited").mkdir()
    files_of(model, {}).write(tmp_path / "waited", created)
    write = files_of(model, {}, reasons).apart(SnapshotContext(step=1))
    overwrite(model)
    (tmp_path / "behind").mkdir()
    write(tmp_path / "behind", created)
    assert content(tmp_path / "behind") == content(tmp_path / "waited")
    assert [why in str(reason) for reason in reasons] == [True]


def fit(model: Any, store: Path, *callbacks: Any, epochs: int = 3) -> None:
    keras.utils.set_random_seed(0)
    rows = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
    hook = CheckpointCallback(store, RUN, wait=False)
    hook.fit(model, rows, rows[:, :1], epochs=epochs, batch_size=4, verbose=0, callbacks=list(callbacks))


class Notes(keras.callbacks.Callback):
    """Notes the weights before each save, and tries to keep them at hand as a callback does."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: dict[int, Any] = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.noted[epoch + 1] = self.model.get_weights()


def test_each_checkpoint_has_the_weights_of_its_moment_though_training_went_on(tmp_path: Path) -> None:
    notes = Notes()
    fit(sequential(), tmp_path / "store", notes)
    store, model = CheckpointStore(tmp_path / "store"), filled(sequential())
    found = {}
    for listed in store.list():
        path = listed.at.folder / "model"
        model.load_weights(path / keras_state.WEIGHTS)
        epoch = json.loads((path / "progress.json").read_bytes())["epoch"]
        found[epoch] = [a.tobytes() for a in model.get_weights()]
    assert found == {epoch: [a.tobytes() for a in weights] for epoch, weights in notes.noted.items()}
    assert sorted(found) == [1, 2, 3]
    assert store.verify().exit_code == 0


def test_training_says_once_that_it_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ckptkit_hooks"):
        fit(sequential(keras_models.Looks()), tmp_path / "store")
    said = [r.getMessage() for r in caplog.records if "wait=False" in r.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("wait=False: training waits until Keras's file is written: ")


def test_what_fails_when_the_file_is_written_ends_the_training_at_the_next_save(tmp_path: Path) -> None:
    notes = Notes()
    with pytest.raises(BackendError, match=f"{RUN}@3 was not saved: "):
        fit(sequential(keras_models.Collides()), tmp_path / "store", notes)
    assert len(notes.noted) == 2
    assert list(CheckpointStore(tmp_path / "store").list()) == []
