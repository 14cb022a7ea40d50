"""Bad input of the GMM example: one clear error that names the field, and the loader is as it was."""

import json
import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gmm_example
import numpy as np
import pytest
import torch
from gmm_v2.config import ExperimentConfig, load_config
from gmm_v2.data.core import DataGenerator, ParameterGenerator
from gmm_v2.data.loaders import GMMDataLoader, StateMismatchError, load_generator_state
from gmm_v2.data.utils.random_utils import RandomState
from gmm_v2.experiment.checkpoints import get_latest_checkpoint, store_of
from gmm_v2.experiment.experiment_manager import ExperimentManager

from ckptkit.errors import CkptkitError, ConflictError, DamagedError, NotFoundError, NothingResumableError, UsageError

CONFIG = ExperimentConfig.model_validate(
    {
        "data_config": {"points": 8},
        "training_config": {
            "samples_per_epoch": 10, "batch_size": 5, "num_epochs": 1, "validation_samples": 4, "hidden": 8,
        },
    }
)  # fmt: skip


def loader(**more: Any) -> GMMDataLoader:
    return GMMDataLoader(**{"config_dict": {"points": 8}, "batch_size": 4, "num_samples": 16, "seed": 42, **more})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The state file of a fixed loader."""
    loader(fixed_data=True).save_state(tmp_path / "state.json")
    return tmp_path / "state.json"


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "first"
    ExperimentManager(CONFIG, folder, say=lambda line: None).run()
    return folder


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> Path:
    """An experiment with one checkpoint, of step 2."""
    return Path(shutil.copytree(trained_once, tmp_path / "first"))


def manager(folder: Path, config: ExperimentConfig = CONFIG) -> ExperimentManager:
    return ExperimentManager(config, folder, say=lambda line: None)


def test_resume_without_a_path_is_refused() -> None:
    with pytest.raises(ValueError, match="state_path must be provided when resume=True"):
        loader(resume=True)


def test_resume_without_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    with pytest.raises(FileNotFoundError) as caught:
        loader(state_path=path, resume=True)
    assert str(caught.value) == f"Data state file not found: {path}"


def test_every_truncation_is_refused(saved: Path) -> None:
    data = saved.read_bytes()
    for size in [*range(0, len(data), 97), len(data) - 1]:
        saved.write_bytes(data[:size])
        with pytest.raises(DamagedError, match=r"^state\.json: "):
            loader(fixed_data=True, state_path=saved, resume=True)


def rewrite(path: Path, change: Callable[[Any], object]) -> None:
    """Change a state file, and take away the digest that would tell so."""
    state = json.loads(path.read_bytes())
    del state["state_digest"]
    change(state)
    path.write_text(json.dumps(state))


def test_a_state_file_with_one_digit_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    one = loader(state_path=path)
    next(one)
    one.save_state()
    text = path.read_text()
    places = [match.start() for match in re.finditer(r"\d", text)]
    assert len(places) > 200
    for place in places:
        path.write_text(f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}")
        with pytest.raises(DamagedError, match=r"^state\.json: "):
            loader(state_path=path, resume=True)


def test_a_state_file_without_a_digest_is_read_with_a_warning(saved: Path, caplog: pytest.LogCaptureFixture) -> None:
    rewrite(saved, lambda state: None)
    assert loader(fixed_data=True, state_path=saved, resume=True).current_batch == 0
    assert f"{saved}: has no state_digest" in caplog.text


def _stream(state: Any) -> Any:
    return state["param_generator_state"]["random_state"]["bit_generator_state"]


HOSTILE = {
    "no parts": (lambda s: s.clear(), "holds no state of a generator"),
    "no stream": (lambda s: s["param_generator_state"]["random_state"].clear(), "holds no bit_generator_state"),
    "text for a state": (lambda s: _stream(s).update(state="x"), r"bit_generator_state\.state"),
    "even increment": (lambda s: _stream(s)["state"].update(inc=2), r"state\.inc: 2 is even"),
    "zero state": (lambda s: _stream(s)["state"].update(state=0, inc=0), r"state\.inc"),
    "a float": (lambda s: _stream(s).update(uinteger=0.5), "uinteger"),
    "two half words": (lambda s: _stream(s).update(has_uint32=7), "has_uint32"),
    "another field": (lambda s: _stream(s).update(more=1), "more"),
    "negative position": (lambda s: s["loader_state"].update(current_batch=-1), "loader_state: current_batch"),
    "position behind the end": (lambda s: s["loader_state"].update(current_batch=5), "current_batch 5 of 4"),
    "no seed field": (lambda s: s["loader_state"].pop("seed"), "loader_state: seed"),
    "object dtype": (lambda s: s["data_generator_state"]["cached_data"]["data"].update(dtype="|O"), "'|O'"),
    "shape too large": (lambda s: s["data_generator_state"]["cached_data"]["data"]["shape"].append(9), "bytes"),
    "shape of text": (lambda s: s["data_generator_state"]["cached_data"]["data"].update(shape="2"), "not a shape"),
    "not base64": (lambda s: s["data_generator_state"]["cached_data"]["data"].update(base64="%"), "base64"),
    "nested lists": (lambda s: s["data_generator_state"]["cached_data"].update(labels=[[1]]), "dtype and shape"),
    "no kept means": (lambda s: s["data_generator_state"]["cached_data"].pop("means"), "is not an object of data"),
    "no batch size": (lambda s: s["data_generator_state"]["cached_data"].update(batch_size=0), "is not a count"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_state_is_refused_by_name_and_changes_nothing(saved: Path, name: str) -> None:
    change, reason = HOSTILE[name]
    rewrite(saved, change)
    with pytest.raises(DamagedError, match=reason.replace("|", r"\|")):
        loader(fixed_data=True, state_path=saved, resume=True)


def test_a_seed_that_is_no_number_is_refused() -> None:
    target = RandomState(1)
    with pytest.raises(DamagedError, match="seed: 'x' is not a number"):
        target.set_state({**target.get_state(), "seed": "x"})


@pytest.mark.parametrize("state", [None, 3, "x", [], {"state": {}}, {"bit_generator": "PCG64"}, {"bit_generator": 1}])
def test_a_random_state_takes_nothing_that_is_none(state: Any) -> None:
    target = RandomState(1)
    before = target.get_state()
    with pytest.raises(DamagedError):
        target.set_state({"bit_generator_state": state})
    assert target.get_state() == before


def test_a_state_of_another_generator_type_is_refused(saved: Path) -> None:
    import numpy as np

    other = np.random.Generator(np.random.SFC64(1)).bit_generator.state
    other["state"] = {"state": [int(word) for word in other["state"]["state"]]}
    rewrite(saved, lambda s: s["param_generator_state"]["random_state"].update(bit_generator_state=other))
    with pytest.raises(StateMismatchError, match=r"bit_generator: the state is of 'SFC64', this generator is a PCG64"):
        loader(fixed_data=True, state_path=saved, resume=True)


def test_a_state_of_another_loader_is_refused_field_by_field(saved: Path) -> None:
    rewrite(saved, lambda s: s["loader_state"].update(loader="ImageLoader", loader_id="validation"))
    given = {"config_dict": {"points": 8, "dim": 3}, "batch_size": 8, "loader_id": "main"}
    with pytest.raises(StateMismatchError) as caught:
        loader(**given, fixed_data=True, state_path=saved, resume=True)
    assert str(caught.value) == (
        f"{saved}: the state is of another loader: batch_size: 4 there, 8 here; config.dim: 2 there, 3 here; "
        "loader: ImageLoader there, GMMDataLoader here; loader_id: validation there, main here"
    )


@pytest.mark.parametrize("fixed", [False, True])
def test_a_state_of_the_other_mode_is_refused(tmp_path: Path, fixed: bool) -> None:
    one, other = loader(fixed_data=not fixed), loader(fixed_data=fixed)
    state = one.save_state(tmp_path / "state.json")
    with pytest.raises(StateMismatchError, match="fixed_data"):
        other.restore_state(state)
    del state["loader_state"]
    with pytest.raises(StateMismatchError, match="cached_data: the state is of a loader of"):
        other.restore_state(state)


def test_a_failed_restore_changes_nothing(saved: Path) -> None:
    target = loader(fixed_data=True, seed=7)
    next(target)
    before = json.dumps(target.data_generator.get_state(), default=repr), target.current_batch
    state = load_generator_state(saved)
    state["data_generator_state"]["cached_data"]["scales"] = state["data_generator_state"]["cached_data"]["labels"]
    with pytest.raises(StateMismatchError, match=r"cached_data\.scales: int64 \(16, 8\) there, float32 \(16,\) here"):
        target.restore_state(state)
    del state["param_generator_state"]
    with pytest.raises(DamagedError, match="has no param_generator_state"):
        target.restore_state(state)
    assert (json.dumps(target.data_generator.get_state(), default=repr), target.current_batch) == before


def test_two_different_states_of_one_parameter_generator_are_refused(saved: Path) -> None:
    state = load_generator_state(saved)
    state["data_generator_state"]["param_generator_state"] = RandomState(3).get_state()
    with pytest.raises(StateMismatchError, match="two states of the one parameter generator"):
        loader(fixed_data=True).restore_state(state)


def test_a_state_without_counters_is_not_guessed_at(saved: Path) -> None:
    rewrite(saved, lambda state: state.pop("loader_state"))
    with pytest.raises(StateMismatchError, match="has no counters"):
        loader(fixed_data=True, state_path=saved, resume=True)


def test_a_part_that_is_no_object_is_refused() -> None:
    generator = DataGenerator(ParameterGenerator(CONFIG.data_config))
    with pytest.raises(DamagedError, match="is not an object"):
        generator.set_state({"param_generator_state": 1})


def test_no_checkpoints_is_the_documented_error(tmp_path: Path) -> None:
    for step in (None, 5):
        with pytest.raises(FileNotFoundError) as caught:
            manager(tmp_path / "new").resume_training(step=step)
        assert str(caught.value) == f"No checkpoints found in {tmp_path / 'new' / 'checkpoints'}"


def test_a_plain_checkpoint_of_the_document_is_told(tmp_path: Path) -> None:
    (tmp_path / "new/checkpoints").mkdir(parents=True)
    torch.save({"model": {}, "epoch": 0, "batch_idx": 10}, tmp_path / "new/checkpoints/checkpoint_e0_b10.pt")
    with pytest.raises(FileNotFoundError, match="No checkpoints found in") as caught:
        manager(tmp_path / "new").resume_training()
    assert caught.value.__notes__[0].startswith("checkpoint_e0_b10.pt has no manifest: load the model from it")
    told = gmm_example.ckptkit(tmp_path, "list").stderr
    assert "new/checkpoints: 1 checkpoint has no manifest and cannot be listed: checkpoint_e0_b10.pt (files)" in told


def test_no_data_state_is_the_documented_error(trained: Path) -> None:
    (trained / "data_state.json").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        manager(trained).resume_training()
    assert str(caught.value) == f"Data state file not found: {trained / 'data_state.json'}"
    assert "--resume 2" in caught.value.__notes__[0]
    assert manager(trained).resume_training(step=2)["step"] == 2


def test_a_step_that_is_not_there_is_named(trained: Path) -> None:
    with pytest.raises(NotFoundError, match="no such step"):
        manager(trained).resume_training(step=3)


def test_a_checkpoint_of_another_config_is_refused_field_by_field(trained: Path) -> None:
    training = CONFIG.training_config.model_copy(update={"hidden": 9, "seed": 1, "num_epochs": 4})
    other = CONFIG.model_copy(update={"training_config": training})
    with pytest.raises(StateMismatchError) as caught:
        manager(trained, other).resume_training()
    assert str(caught.value) == (
        "first/checkpoints@2: a checkpoint of another config: training_config.hidden: 8 there, 9 here; "
        "training_config.seed: 42 there, 1 here"
    )


def test_a_damaged_newest_checkpoint_is_told(trained: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert manager(trained).resume_training(num_epochs=2)["step"] == 4
    (trained / "checkpoints/step-00000004/rng/rng.json").write_bytes(b"")
    assert manager(trained).resume_training()["step"] == 2
    assert caplog.messages[0].startswith("first/checkpoints@4 is not resumed from: rng/rng.json")


def test_nothing_that_verifies_is_an_error_and_no_fresh_start_unless_a_person_starts_afresh(trained: Path) -> None:
    (trained / "checkpoints/step-00000002/policy/policy.safetensors").write_bytes(b"")
    with pytest.raises(NothingResumableError):
        manager(trained).resume_training()
    manager(trained).run()  # the damaged one makes room; it waits in the trash
    store = store_of(trained / "checkpoints")
    assert store.verify("first/checkpoints").exit_code == 0
    shutil.rmtree(trained / "checkpoints/step-00000002")
    store.undelete("first/checkpoints")
    assert store.verify("first/checkpoints").exit_code == 1


def test_a_folder_that_cannot_be_a_run_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        manager(tmp_path / "a@b")


def test_a_state_too_large_to_be_read_back_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ckptkit.formats.strict_json.MAX_BYTES", 4000)
    with pytest.raises(UsageError, match=r"the state has \d+ bytes, a state file at most 4000"):
        loader(fixed_data=True).save_state(tmp_path / "state.json")
    assert list(tmp_path.iterdir()) == []


def test_the_latest_checkpoint_of_nothing_is_none(tmp_path: Path) -> None:
    assert get_latest_checkpoint(tmp_path / "first" / "checkpoints") is None
    (tmp_path / "first" / "checkpoints").mkdir(parents=True)
    assert get_latest_checkpoint(tmp_path / "first" / "checkpoints") is None


def test_a_new_run_does_not_start_over_an_old_one(trained: Path) -> None:
    with pytest.raises(ConflictError, match="has checkpoints already"):
        manager(trained).run()


def test_going_back_is_refused_before_anything_is_changed_unless_the_newer_ones_may_go(trained: Path) -> None:
    store = store_of(trained / "checkpoints")
    store.save("first/checkpoints", 9, {"rng": np.random.default_rng()})
    before = {path: path.read_bytes() for path in trained.glob("*.json")}
    with pytest.raises(ConflictError, match=r"first/checkpoints: has newer checkpoints \(steps 9\) than step 2"):
        manager(trained).resume_training(step=2)
    assert {path: path.read_bytes() for path in trained.glob("*.json")} == before
    lines: list[str] = []
    ExperimentManager(CONFIG, trained, say=lines.append, replace_newer=True).resume_training(step=2)
    assert lines[0] == "moved to the trash: first/checkpoints@9"
    assert store.undelete("first/checkpoints@9").step == 9


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("data_config: {dims: 3}", "data_config.dims: Extra inputs"),
        ("training_config: {batch_size: 0, dropout: 2}", "training_config.batch_size: .*training_config.dropout: "),
        ("data_config: {snr_db_min: 9, snr_db_max: 3}", "data_config: .*snr_db_min 9.0 is more than"),
        ("data_config: [", "is not YAML"),
        ("3", "valid dictionary"),
    ],
)
def test_a_wrong_config_names_the_field(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UsageError, match=reason):
        load_config(tmp_path / "config.yaml")


def test_the_shipped_config_loads() -> None:
    assert load_config(gmm_example.EXAMPLE / "config.yaml").training_config.num_epochs == 16


@pytest.mark.parametrize("epochs", [0, -1])
def test_epochs_that_are_none_are_refused(trained: Path, epochs: int) -> None:
    lines: list[str] = []
    with pytest.raises(CkptkitError, match="num_epochs"):
        ExperimentManager(CONFIG, trained, say=lines.append).resume_training(epochs)
    assert lines == []


def test_a_run_that_is_over_says_so(trained: Path) -> None:
    lines: list[str] = []
    assert ExperimentManager(CONFIG, trained, say=lines.append).resume_training()["step"] == 2
    assert lines[1] == "nothing is left to do: epoch 1 of 1"


def test_the_program_tells_an_error_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", gmm_example.command(tmp_path / "first", "--resume"))
    threads = torch.get_num_threads()
    code = runpy.run_path(str(gmm_example.EXAMPLE / "train.py"))["main"]()
    torch.set_num_threads(threads)
    assert code == 4
    expected = f"error: No checkpoints found in {tmp_path / 'first' / 'checkpoints'}\n"
    assert capsys.readouterr() == ("", expected)
