"""What each trainer calls its checkpoints, by names alone.

LeRobot, DeepSpeed and RL Zoo are not installed where this runs: theirs are the names that their documentation
and sources give. What the others write is compared with the library in tests/plugins/test_layouts_written.py.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pytest

from ckptkit.layouts import FOREIGN, Found, Listing, claimed
from ckptkit.store.reader import StoreReader

HF = ("config.json", "model.safetensors", "optimizer.pt", "rng_state.pth", "scheduler.pt", "training_args.bin")
ACCELERATE = ("model.safetensors", "optimizer.bin", "random_states_0.pkl", "scheduler.bin")
LEROBOT = ("pretrained_model/model.safetensors", "training_state/training_step.json")
DCP = (".metadata", "__0_0.distcp")


def below(folder: str, names: Sequence[str]) -> list[str]:
    return [f"{folder}/{name}" for name in names]


def find(paths: Sequence[str]) -> list[tuple[str, Found]]:
    """Return kind and facts of all that is found right in a folder with these files in it and below."""
    parts = [PurePosixPath(path).parts for path in paths]
    folders = sorted({part[0] for part in parts if len(part) > 1})
    files = [part[0] for part in parts if len(part) == 1]
    every = {*paths, *(str(parent) for path in paths for parent in PurePosixPath(path).parents)}
    return [(layout.kind, found) for layout, found in claimed(FOREIGN, Listing(folders, files, every.__contains__))]


TABLE = [
    (
        "hf_trainer",
        below("checkpoint-8", (*HF, "trainer_state.json")),
        Found("checkpoint-8", ("checkpoint-8",), step=8, marker="checkpoint-8/trainer_state.json"),
    ),
    (
        "hf_trainer",  # cut before the state was written
        below("checkpoint-4", HF[:2]),
        Found("checkpoint-4", ("checkpoint-4",), step=4, marker="checkpoint-4/trainer_state.json"),
    ),
    ("accelerate", below("checkpoint_3", ACCELERATE), Found("checkpoint_3", ("checkpoint_3",), count=3)),
    ("accelerate", below("epoch_1", ACCELERATE), Found("epoch_1", ("epoch_1",), count=1)),
    (
        "accelerate",  # named as the Trainer does it
        below("checkpoint-500", ACCELERATE),
        Found("checkpoint-500", ("checkpoint-500",), count=500),
    ),
    ("accelerate", below("step_500", ACCELERATE), Found("step_500", ("step_500",), step=500, count=500)),
    (
        "lightning",
        ["epoch=1-step=48.ckpt", "last.ckpt"],
        Found("epoch=1-step=48.ckpt", ("epoch=1-step=48.ckpt",), step=48, count=1, pointers=("last.ckpt",)),
    ),
    ("lightning", ["best.ckpt"], Found("best.ckpt", ("best.ckpt",))),
    (
        "lightning",
        ["epoch=1-step=48-v1.ckpt"],
        Found("epoch=1-step=48-v1.ckpt", ("epoch=1-step=48-v1.ckpt",), step=48, count=1),
    ),
    (
        "lightning",  # sharded: a folder, with DCP's files in it
        below("epoch=0-step=24.ckpt", (*DCP, "meta.pt")),
        Found("epoch=0-step=24.ckpt", ("epoch=0-step=24.ckpt",), step=24, count=0),
    ),
    (
        "lerobot",
        [*below("005000", LEROBOT), "last"],
        Found("005000", ("005000",), step=5000, pointers=("last",)),
    ),
    (
        "sb3_callback",
        [
            "rl_model_100_steps.zip",
            "rl_model_replay_buffer_100_steps.pkl",
            "rl_model_vecnormalize_100_steps.pkl",
        ],
        Found(
            "rl_model_100_steps.zip",
            ("rl_model_100_steps.zip", "rl_model_replay_buffer_100_steps.pkl", "rl_model_vecnormalize_100_steps.pkl"),
            step=100,
        ),
    ),
    (
        "rl_zoo",
        ["CartPole-v1.zip", "replay_buffer.pkl", "CartPole-v1/args.yml", "CartPole-v1/vecnormalize.pkl"],
        Found(
            "CartPole-v1.zip", ("CartPole-v1.zip", "CartPole-v1", "replay_buffer.pkl"), pointers=("CartPole-v1.zip",)
        ),
    ),
    (
        "rl_zoo",
        [*below("CartPole-v1", ("args.yml",)), "rl_model_100_steps.zip"],
        Found("rl_model_100_steps.zip", ("rl_model_100_steps.zip",), step=100),
    ),
    ("dcp", below("step-5", DCP), Found("step-5", ("step-5",), step=5, count=5, marker="step-5/.metadata")),
    (
        "dcp",  # cut before the marker
        below("step-6", DCP[1:]),
        Found("step-6", ("step-6",), step=6, count=6, marker="step-6/.metadata"),
    ),
    (
        "deepspeed",
        [*below("global_step100", ("mp_rank_00_model_states.pt",)), "latest"],
        Found("global_step100", ("global_step100",), step=100, count=100, pointers=("latest",)),
    ),
    (
        "orbax",
        below("10", ("_CHECKPOINT_METADATA", "default/_METADATA")),
        Found("10", ("10",), step=10, marker="10/_CHECKPOINT_METADATA"),
    ),
    (
        "orbax",  # on an object store
        below("10", ("_CHECKPOINT_METADATA", "commit_success.txt")),
        Found("10", ("10",), step=10, marker="10/commit_success.txt"),
    ),
    (
        "orbax",  # not finished
        below("20.orbax-checkpoint-tmp-1700000000", ("default/_METADATA",)),
        Found(
            "20.orbax-checkpoint-tmp-1700000000",
            ("20.orbax-checkpoint-tmp-1700000000",),
            step=20,
            marker="20.orbax-checkpoint-tmp-1700000000/_CHECKPOINT_METADATA",
        ),
    ),
    (
        "orbax",
        below("foobar_1000", ("orbax.checkpoint", "pytree/_METADATA")),
        Found("foobar_1000", ("foobar_1000",), step=1000, marker="foobar_1000/_CHECKPOINT_METADATA"),
    ),
    (
        "tf_train",
        ["checkpoint", "ckpt-12.data-00000-of-00001", "ckpt-12.index"],
        Found("ckpt-12.index", ("ckpt-12.index", "ckpt-12.data-00000-of-00001"), count=12, pointers=("checkpoint",)),
    ),
    (
        "tf_train",  # cut before the index
        ["ckpt-13.data-00000-of-00001"],
        Found("ckpt-13.data-00000-of-00001", ("ckpt-13.data-00000-of-00001",), count=13),
    ),
    ("keras", ["model-05-0.31.keras"], Found("model-05-0.31.keras", ("model-05-0.31.keras",), count=5)),
    ("keras", ["w.05-12.50.weights.h5"], Found("w.05-12.50.weights.h5", ("w.05-12.50.weights.h5",), count=5)),
    ("keras", ["m.keras"], Found("m.keras", ("m.keras",))),
    (
        "keras",
        ["latest.weights.h5", "training_metadata.json"],
        Found("latest.weights.h5", ("latest.weights.h5", "training_metadata.json"), pointers=("latest.weights.h5",)),
    ),
    ("torch_file", ["checkpoint_e3_b10.pt"], Found("checkpoint_e3_b10.pt", ("checkpoint_e3_b10.pt",), count=10)),
    ("torch_file", ["model-step-40.pth"], Found("model-step-40.pth", ("model-step-40.pth",), step=40, count=40)),
    ("torch_file", ["model_7.pth.tar"], Found("model_7.pth.tar", ("model_7.pth.tar",), count=7)),
    ("torch_file", ["last.pt"], Found("last.pt", ("last.pt",), pointers=("last.pt",))),
    ("numbered", ["ep000050.zip", "ep000050_metadata.json"], Found("ep000050.zip", ("ep000050.zip",), count=50)),
    ("numbered", below("iter_100", ("w.npz",)), Found("iter_100", ("iter_100",), step=100, count=100)),
    ("numbered", below("checkpoint-3", ("w.h5",)), Found("checkpoint-3", ("checkpoint-3",), count=3)),
]


@pytest.mark.parametrize(("kind", "paths", "expected"), TABLE)
def test_each_trainer_is_known_by_its_names(kind: str, paths: list[str], expected: Found) -> None:
    assert (kind, expected) in find(paths)


@pytest.mark.parametrize("kind", [layout.kind for layout in FOREIGN])
def test_every_layout_has_a_row(kind: str) -> None:
    assert kind in {row[0] for row in TABLE}


def test_all_trainers_in_one_folder_are_told_apart_and_no_name_is_given_out_twice() -> None:
    rows = [row for row in TABLE if not row[2].name.startswith("10")]  # two rows of one name
    found = find(sorted({path for _, paths, _ in rows for path in paths}))
    expected = {(kind, one.name) for kind, _, one in rows if kind != "sb3_callback"}  # they are RL Zoo's there
    assert {(kind, one.name) for kind, one in found} >= expected
    names = [name for _, one in found for name in one.files]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "path",
    [
        *("README.md", "events.out.tfevents.1700000000.host", "trainer_state.json", "config.json", "model.safetensors"),
        *("model-00001-of-00002.safetensors", "model-00001-of-00002.pt", "rl_model_replay_buffer_7_steps.pkl.tmp"),
        *("checkpoint", "latest", "run1/README.md", "checkpoint-best/README.md", "runs/Nov26_host/events.out"),
    ],
)
def test_names_of_strangers_are_not_claimed(path: str) -> None:
    assert find([path]) == []


def test_a_name_that_the_trainer_moves_is_told() -> None:
    assert [(one.name, one.moves) for _, one in find(["epoch=1-step=48.ckpt", "last.ckpt"])] == [
        ("epoch=1-step=48.ckpt", False),
        ("last.ckpt", True),
    ]


@pytest.mark.parametrize("sign", [".metadata", "__0_0.distcp", "_CHECKPOINT_METADATA", "commit_success.txt"])
def test_a_folder_named_like_ours_with_the_sign_of_another_trainer_is_not_ours(sign: str, tmp_path: Path) -> None:
    (tmp_path / "r" / "step-1000").mkdir(parents=True)
    (tmp_path / "r" / "step-1000" / sign).write_text("x")
    store = StoreReader(tmp_path)
    assert list(store.list()) == []
    [told] = store.unlisted()
    assert (told.run, told.step, told.item, [path.name for path in told.paths]) == (
        "r",
        1000,
        "model:files",
        ["step-1000"],
    )
    assert told.in_place


def test_a_folder_named_like_ours_without_a_manifest_and_without_a_sign_is_incomplete(tmp_path: Path) -> None:
    (tmp_path / "r" / "step-1000").mkdir(parents=True)
    (tmp_path / "r" / "step-1000" / "weights.bin").write_text("x")
    store = StoreReader(tmp_path)
    assert [one.at.ref for one in store.list()] == ["r@1000"]
    assert store.unlisted() == ()
