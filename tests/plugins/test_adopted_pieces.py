"""Each row of the table of what a trainer needs: the files that it wrote, whole, and without each piece in turn."""

import importlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint
import trainer_files

from ckptkit import CheckpointStore
from ckptkit.backend import Captured
from ckptkit.errors import DamagedError, NotFoundError, UnknownBackendError
from ckptkit.pieces import Piece, Trainer
from ckptkit.store import Files

pytestmark = pytest.mark.matrix

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "adopt-existing-files.md"
PLUGINS = ("safetensors", "sb3", "tfdata", "numpy", "files")
TRAINERS: list[Trainer] = [t for p in PLUGINS for t in importlib.import_module(f"ckptkit_{p}.trainers").TRAINERS]
PIECES = [(trainer, piece) for trainer in TRAINERS for piece in trainer.pieces]

WHOLE = {
    "Hugging Face Trainer": ("hugging_face/checkpoint-2", None, "complete"),
    "accelerate, save_state": ("accelerate/checkpoint_1", None, "complete"),
    "LeRobot": ("lerobot/checkpoints/000002", None, "partial"),
    "any other": ("other/checkpoint-2", None, "partial"),
    "Stable-Baselines3, model.save": ("sb3/sac/rl_model_6_steps.zip", None, "partial"),
    "tf.train.Checkpoint": ("tensorflow/whole", None, "partial"),
    "JSON of bit_generator.state": ("numpy/legacy.json", None, "complete"),
    "Lightning, .ckpt": ("lightning/whole.ckpt", "files", "partial"),
    "Keras, .keras and .weights.h5": ("tensorflow/compiled.keras", "files", "partial"),
    "any other file of torch.save": ("torch_file/whole.pt", "files", "partial"),
}
"""What each wrote: where, for which backend, and the grade with all that it ever writes."""

MAIN_FILES = {
    *((name, "model") for name in ("Hugging Face Trainer", "accelerate, save_state", "LeRobot", "any other")),
    ("tf.train.Checkpoint", "model"),  # the optimizer's bundle holds the variables too
    ("Stable-Baselines3, model.save", "policy"),
    ("JSON of bit_generator.state", "state"),
    ("Keras, .keras and .weights.h5", "weights"),
}
"""Without these there is nothing left to adopt."""
MODEL_LEFT = {("Stable-Baselines3, model.save", "VecNormalize"), ("Keras, .keras and .weights.h5", "optimizer")}
"""Without these only the model is left."""


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of all trainers; nobody may change them."""
    root = tmp_path_factory.mktemp("trainers")
    command = [sys.executable, trainer_files.__file__, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def files(written: Path, tmp_path: Path) -> Path:
    """A copy of them."""
    return Path(shutil.copytree(written, tmp_path / "files"))


def captured(path: Path, backend: str | None = None) -> Captured:
    """Return what a store says of the files at a path."""
    store = CheckpointStore(path.parent / "store")
    named = re.search(r"(\d+)(_steps)?$", path.stem)
    step = 4 if path.suffix == ".ckpt" else int(named[1]) if named else 2
    said = store.save(f"run/{path.stem.strip('.')}", step, {"it": Files(path, backend)}).manifest.items["it"].captured
    return Captured(said.grade, said.reasons)


def always(trainer: Trainer) -> list[str]:
    """Return the lines for what no file of the trainer ever holds."""
    return [f"no {p.what}: {p.without}" for p in trainer.pieces if not p.names]


def without_member(path: Path, lost: Callable[[str], bool]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if not lost(name)}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def without_key(path: Path, key: str) -> None:
    state = torch.load(path, weights_only=False)
    del state[key]
    torch.save(state, path)


def lose(trainer: Trainer, piece: Piece, files: Path) -> Path:
    """Take one piece away from what a trainer wrote, and return the path to adopt."""
    path = files / WHOLE[trainer.name][0]
    if trainer.name == "Lightning, .ckpt":
        without_key(path, piece.names[0])
    elif trainer.name == "any other file of torch.save":
        without_key(path, {"random generators": "rng"}.get(piece.what, piece.what))
    elif trainer.name == "tf.train.Checkpoint":
        return files / "tensorflow" / f"no-{piece.carriers.removesuffix('=')}"
    elif trainer.name == "Keras, .keras and .weights.h5":
        return files / "tensorflow" / "bare.keras"
    elif trainer.name == "JSON of bit_generator.state":
        return files / "numpy" / "pcg.json"
    elif piece.what == "optimizer" and path.suffix == ".zip":
        without_member(path, lambda member: member.endswith("optimizer.pth"))
    elif piece.what == "gradient scaler":
        shutil.copy(files / "hugging_face" / "fp16.bin", path / "training_args.bin")
    else:
        path = files / "sb3" / "ppo" / "rl_model_8_steps.zip" if piece.what == "VecNormalize" else path
        for pattern in piece.names:
            for file in (path if path.is_dir() else path.parent).glob(pattern):
                file.unlink()
    return path


@pytest.mark.parametrize("trainer", TRAINERS, ids=lambda trainer: trainer.name)
def test_whole_files_are_graded_by_what_their_trainer_ever_writes(trainer: Trainer, files: Path) -> None:
    name, backend, grade = WHOLE[trainer.name]
    assert captured(files / name, backend) == Captured(grade, always(trainer))  # type: ignore[arg-type]


LOSABLE = [(t, p) for t, p in PIECES if p.names and (t.name, p.what) not in MAIN_FILES and not p.needed]
NEEDED = [(t, p) for t, p in PIECES if p.needed]


@pytest.mark.parametrize(("trainer", "piece"), LOSABLE, ids=[f"{t.name}-{p.what}" for t, p in LOSABLE])
def test_a_missing_piece_is_named_with_what_that_means(trainer: Trainer, piece: Piece, files: Path) -> None:
    said = captured(lose(trainer, piece, files), WHOLE[trainer.name][1])
    reason = f"no {piece.what} ({piece.carriers}): {piece.without}"
    assert sorted(said.reasons) == sorted([reason, *always(trainer)])
    assert said.grade == ("weights-only" if (trainer.name, piece.what) in MODEL_LEFT else "partial")


@pytest.mark.parametrize(("trainer", "piece"), NEEDED, ids=[f"{t.name}-{p.what}" for t, p in NEEDED])
def test_a_folder_that_its_trainer_did_not_finish_is_refused(trainer: Trainer, piece: Piece, files: Path) -> None:
    path = lose(trainer, piece, files)
    with pytest.raises(DamagedError) as caught:
        captured(path)
    assert f"no {piece.what} ({piece.carriers}): {piece.without}" in caught.value.message


@pytest.mark.parametrize(
    "name", [t.name for t, p in PIECES if (t.name, p.what) in MAIN_FILES and WHOLE[t.name][1] is None]
)
def test_without_its_main_file_nothing_is_adopted(name: str, files: Path) -> None:
    path = files / WHOLE[name][0]
    mains = path.rglob("*.safetensors") if path.is_dir() else [path if path.is_file() else path.with_suffix(".index")]
    for main in mains:
        if "training_state" not in main.parts:
            main.unlink()
    with pytest.raises((UnknownBackendError, NotFoundError)):
        captured(path)


def test_the_page_shows_the_table_of_the_code() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    shown = [row for row in rows if row[0] in WHOLE]
    assert shown == [(t.name, p.what, p.carriers or "nothing", p.without) for t, p in PIECES]


def test_only_a_model_is_weights_only_and_names_all_that_is_not_there(files: Path) -> None:
    said = captured(files / "hugging_face" / "sharded" / "checkpoint-2")
    assert said.grade == "weights-only"
    assert [reason.partition(":")[0] for reason in said.reasons] == [
        "no optimizer (optimizer_state.pth)",
        "no scheduler (scheduler_state.pth)",
        "no random generators",
        "no data position",
    ]
    assert captured(files / "tensorflow" / "only-model").grade == "weights-only"
    assert captured(files / "tensorflow" / "bare.weights.h5", "files").grade == "weights-only"
    assert captured(files / "lightning" / "weights.ckpt", "files").grade == "weights-only"
    alone = shutil.copy(files / "sb3" / "sac" / "rl_model_6_steps.zip", files / "alone.zip")
    assert captured(Path(alone)).grade == "weights-only"


def test_an_iterator_alone_is_complete(files: Path) -> None:
    assert captured(files / "tensorflow" / "only-iterator") == Captured()


def test_a_trainer_folder_without_three_pieces_names_all_three(files: Path) -> None:
    folder = files / "hugging_face" / "checkpoint-2"
    for name in ("rng_state.pth", "scheduler.pt", "optimizer.pt"):
        (folder / name).unlink()
    assert captured(folder) == Captured(
        "partial",
        [
            "no optimizer (optimizer.pt or optimizer.bin): the Trainer begins with a new optimizer, silently",
            "no scheduler (scheduler.pt): the Trainer then loads no optimizer state either, silently",
            "no random generators (rng_state.pth or rng_state_*.pth): dropout and shuffling draw different numbers",
        ],
    )


def test_an_optimizer_in_deepspeeds_folder_is_there(files: Path) -> None:
    folder = files / "hugging_face" / "checkpoint-2"
    (folder / "global_step2").mkdir()
    (folder / "optimizer.pt").rename(folder / "global_step2" / "zero_pp_rank_0_mp_rank_00_optim_states.pt")
    (folder / "latest").write_text("global_step2")
    assert captured(folder) == Captured()


@pytest.mark.filterwarnings("ignore:torch.distributed is")
def test_an_optimizer_in_fsdps_folder_is_there(files: Path) -> None:
    folder = files / "hugging_face" / "checkpoint-2"
    state = {"optimizer": torch.load(folder / "optimizer.pt")["state"]}
    torch.distributed.checkpoint.save(state, checkpoint_id=folder / "optimizer_0", no_dist=True)
    (folder / "optimizer.pt").unlink()
    assert captured(folder) == Captured()


def test_a_scaler_that_is_there_is_not_asked_for(files: Path) -> None:
    folder = files / "hugging_face" / "checkpoint-2"
    shutil.copy(files / "hugging_face" / "fp16.bin", folder / "training_args.bin")
    torch.save({"scale": 65536.0}, folder / "scaler.pt")
    assert captured(folder) == Captured()


def test_a_gap_between_the_generators_of_processes_is_named(files: Path) -> None:
    folder = files / "hugging_face" / "checkpoint-2"
    for rank in (0, 2):
        shutil.copy(folder / "rng_state.pth", folder / f"rng_state_{rank}.pth")
    (folder / "rng_state.pth").unlink()
    assert captured(folder).reasons == (
        "no rng_state_1.pth, though there are later ones: dropout and shuffling draw different numbers",
    )


def test_an_adapter_is_a_model(files: Path) -> None:
    folder = files / "hugging_face" / "checkpoint-2"
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "some/model"}))
    assert captured(folder) == Captured()
