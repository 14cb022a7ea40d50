"""Trainers whose files say themselves whether they are whole: TensorFlow, Keras, RL Zoo."""

import json
import zipfile
from pathlib import Path

import pytest
from looked_at import judged, states, told

from ckptkit.trainers import TRAINERS

ARGS = """\
!!python/object/apply:collections.OrderedDict
- - - algo
    - ppo
  - - env
    - CartPole-v1
  - - hyperparams
    - null
  - - n_timesteps
    - 3000
  - - seed
    - 2398
"""
CONFIG = """\
!!python/object/apply:collections.OrderedDict
- - - n_envs
    - 8
  - - n_timesteps
    - 100000.0
"""
"""Both as rl_zoo3 2.9.2 wrote them, in part."""


def rl_zoo(folder: Path, args: str = ARGS, config: str = CONFIG) -> None:
    (folder / "CartPole-v1").mkdir()
    (folder / "CartPole-v1" / "args.yml").write_text(args)
    (folder / "CartPole-v1" / "config.yml").write_text(config)
    for name, step in (("CartPole-v1.zip", 3072), ("best_model.zip", 1000), ("rl_model_2000_steps.zip", 2000)):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr("data", json.dumps({"num_timesteps": step}))


def test_every_agent_of_rl_zoo_knows_algorithm_environment_and_what_is_left(tmp_path: Path) -> None:
    rl_zoo(tmp_path)
    assert set(states(tmp_path).values()) == {"complete"}
    one = told(tmp_path, "rl_model_2000_steps.zip")
    assert one.config == {"algo": "ppo", "env": "CartPole-v1", "n_timesteps": 3000, "timesteps_left": 1000}
    assert (told(tmp_path, "best_model.zip").step, told(tmp_path, "CartPole-v1.zip").step) == (1000, 3072)
    assert told(tmp_path, "CartPole-v1.zip").config["timesteps_left"] == 3000  # it is done: as much once more


def test_the_file_of_hyperparameters_that_rl_zoo_was_given_is_told(tmp_path: Path) -> None:
    rl_zoo(tmp_path, ARGS.replace("hyperparams\n    - null", "conf_file\n    - mine.yml"))
    assert told(tmp_path, "rl_model_2000_steps.zip").config["conf_file"] == "mine.yml"


@pytest.mark.parametrize("flag", ["--hyperparams", "--env-kwargs"])
def test_arguments_of_rl_zoo_that_its_command_leaves_out_are_a_doubt(tmp_path: Path, flag: str) -> None:
    name = flag.removeprefix("--").replace("-", "_")
    rl_zoo(tmp_path, ARGS.replace("hyperparams\n    - null", f"{name}\n    - gamma: 0.5"))
    (doubt,) = told(tmp_path, "rl_model_2000_steps.zip").doubts
    assert f"trained with {flag}, which its resume command leaves out" in doubt


def test_without_an_argument_the_settings_say_for_how_long(tmp_path: Path) -> None:
    rl_zoo(tmp_path, ARGS.replace("3000", "-1"))
    assert told(tmp_path, "rl_model_2000_steps.zip").config["timesteps_left"] == 98000


@pytest.mark.parametrize(
    ("text", "doubted"),
    [
        ("", True),
        ("[" * 5_000, True),
        ("algo: [", True),
        ("just text", False),
        ("- - - [1]\n", False),
        ("!!python/object/apply:os.system ['touch /tmp/owned']", False),
        ("a: &a [*a]", False),
        ("algo: 1\n" * 200_000, True),
        ("n_timesteps: .nan", False),
    ],
)
def test_settings_that_are_hostile_tell_nothing_and_do_nothing(tmp_path: Path, text: str, doubted: bool) -> None:
    rl_zoo(tmp_path, text, "algo: ppo\n")
    one = told(tmp_path, "rl_model_2000_steps.zip")
    assert one.config in ({"algo": "ppo"}, {})
    assert bool(one.doubts) == doubted


def test_a_bundle_without_its_index_or_data_is_incomplete(tmp_path: Path) -> None:
    for name in ("ckpt-1.data-00000-of-00001", "ckpt-2.data-00000-of-00001"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "ckpt-2.index").write_bytes(b"cut")
    assert set(states(tmp_path).values()) == {"incomplete"}
    one = told(tmp_path, "ckpt-2.index")
    assert (one.step, one.step_from) == (2, "the number in its name, which may count something else")
    assert len(one.doubts) == 1
    (tmp_path / "ckpt-2.index").unlink()
    (tmp_path / "ckpt-2.index").symlink_to("ckpt-1.data-00000-of-00001")
    assert judged(tmp_path, "ckpt-2.index").reasons == ("ckpt-2.index is a link",)


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("model.05-val_loss0.31.keras", {"val_loss": 0.31}),
        ("e05_loss=0.25_val_accuracy=0.875.weights.h5", {"loss": 0.25, "val_accuracy": 0.875}),
        ("05-0.31.keras", {}),
        ("loss-5.keras", {}),
    ],
)
def test_a_metric_in_a_name_of_keras_is_taken_where_it_is_named(
    tmp_path: Path, name: str, metrics: dict[str, float]
) -> None:
    (tmp_path / name).write_bytes(b"PK")
    assert told(tmp_path, name).metrics == metrics
    assert judged(tmp_path, name).state == "incomplete"


@pytest.mark.parametrize(
    ("content", "step"), [(b'{"epoch": 2, "batch": 0}', 2), (b"{", None), (b'{"epoch": true}', None)]
)
def test_a_backup_of_keras_tells_its_epoch(tmp_path: Path, content: bytes, step: int | None) -> None:
    (tmp_path / "latest.weights.h5").write_bytes(b"")
    (tmp_path / "training_metadata.json").write_bytes(content)
    one = told(tmp_path, "latest.weights.h5")
    assert (one.step, one.counters) == (step, {} if step is None else {"epoch": step})
    assert judged(tmp_path, "latest.weights.h5").reasons == ("latest.weights.h5 is empty",)


@pytest.mark.parametrize("kind", TRAINERS)
def test_a_command_names_what_in_it_is_a_guess(kind: str) -> None:
    trainer = TRAINERS[kind]
    for command in trainer.resuming.commands:
        assert trainer.resuming.guess is None or trainer.resuming.guess.split()[0] in command
        assert any("{path}" in word for word in command)


@pytest.mark.parametrize("kind", TRAINERS)
def test_where_there_may_be_no_command_it_is_said_what_a_program_calls(kind: str) -> None:
    resuming = TRAINERS[kind].resuming
    assert resuming.commands or resuming.call
