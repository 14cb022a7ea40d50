"""State of the GMM example's generators and loader: what the document promises, to the last bit."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gmm_example
import numpy as np
import pytest
import torch
from ckptkit_numpy.state_file import unpack_array
from gmm_v2.config import ExperimentConfig, MixtureConfig
from gmm_v2.data.core import DataGenerator, ParameterGenerator
from gmm_v2.data.loaders import (
    GMMDataLoader,
    NumpyEncoder,
    create_generators,
    load_generator_state,
    save_generator_state,
)
from gmm_v2.data.utils.random_utils import RandomState
from gmm_v2.experiment.experiment_manager import ExperimentManager

CONFIG = {"dim": 2, "points": 8}


def same(one: Any, other: Any) -> bool:
    """Whether two batches are equal, dtype and bits."""
    (data, targets), (data2, targets2) = one, other
    pairs = [(data, data2), *((targets[name], targets2[name]) for name in targets)]
    return targets.keys() == targets2.keys() and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs
    )


def loader(**more: Any) -> GMMDataLoader:
    return GMMDataLoader(**{"config_dict": CONFIG, "batch_size": 4, "num_samples": 16, "seed": 42, **more})


def test_two_loaders_with_one_seed_produce_the_same_sequence() -> None:
    one, other = loader(), loader()
    for _ in range(3):
        assert all(same(a, b) for a, b in zip(one, other, strict=True))


def test_data_has_the_documented_form() -> None:
    data, targets = next(iter(loader()))
    assert (data.shape, data.dtype) == ((4, 8, 2), np.float32)
    assert (targets["labels"].shape, targets["labels"].dtype) == ((4, 8), np.int64)
    assert targets["means"].shape == (4, 3, 2)


def test_points_lie_around_the_mean_of_their_label() -> None:
    data, targets = next(iter(loader(config_dict={"snr_db_min": 60, "snr_db_max": 60})))
    nearest = ((data[:, :, None] - targets["means"][:, None]) ** 2).sum(-1).argmin(-1)
    assert (nearest == targets["labels"]).all()


def test_next_iter_gives_one_batch_after_another() -> None:
    by_next, by_for = loader(), list(loader())
    assert all(same(next(iter(by_next)), batch) for batch in by_for)


@pytest.mark.parametrize("fixed", [False, True])
def test_a_resumed_loader_gives_the_fourth_batch_and_ignores_its_seed(tmp_path: Path, fixed: bool) -> None:
    path = tmp_path / "loader_state.json"
    first = loader(state_path=str(path), fixed_data=fixed)
    for _ in range(3):
        next(iter(first))
    first.save_state()
    resumed = loader(state_path=str(path), seed=99, resume=True, fixed_data=fixed)
    assert (resumed.current_epoch, resumed.current_batch, resumed.seed) == (0, 3, 42)
    assert same(next(iter(resumed)), next(iter(first)))
    assert all(same(a, b) for _ in range(2) for a, b in zip(resumed, first, strict=True))


@pytest.mark.parametrize("fixed", [False, True])
def test_what_a_resumed_loader_is_not_told_comes_from_the_state(tmp_path: Path, fixed: bool) -> None:
    path = tmp_path / "loader_state.json"
    first = loader(state_path=path, fixed_data=fixed, loader_id="validation")
    next(first)
    first.save_state()
    resumed = GMMDataLoader(config_dict=CONFIG, state_path=path, resume=True)  # as the document writes it
    assert (resumed.batch_size, resumed.num_samples) == (4, 16)
    assert (resumed.fixed_data, resumed.loader_id) == (fixed, "validation")
    assert all(same(a, b) for _ in range(2) for a, b in zip(resumed, first, strict=True))


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("samples", [16, 14])
def test_resuming_is_exact_after_every_batch_of_two_epochs(tmp_path: Path, fixed: bool, samples: int) -> None:
    def calls(source: GMMDataLoader, count: int) -> list[Any]:
        found: list[Any] = []
        for _ in range(count):
            found.append(next(iter(source), "end of epoch"))
        return found

    whole = calls(loader(num_samples=samples, fixed_data=fixed), 12)
    for cut in range(10):
        first = loader(num_samples=samples, fixed_data=fixed)
        calls(first, cut)
        first.save_state(tmp_path / "state.json")
        second = loader(
            num_samples=samples, fixed_data=fixed, seed=None, state_path=tmp_path / "state.json", resume=True
        )
        for a, b in zip(calls(second, 12 - cut), whole[cut:], strict=True):
            assert a == b if isinstance(b, str) else same(a, b)


def test_a_state_path_alone_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    first = loader(state_path=path)
    begin = next(first)
    first.save_state()
    written = path.read_bytes()
    assert same(next(loader(state_path=path)), begin)
    assert path.read_bytes() == written


def test_manual_state_goes_on_with_the_counters(tmp_path: Path) -> None:
    first = loader()
    next(first)
    state = first.save_state(tmp_path / "custom_state.json")
    new = loader(seed=None)
    new.restore_state(load_generator_state(tmp_path / "custom_state.json"))
    other = loader(seed=None)
    other.restore_state(state)
    expected = next(first)
    assert same(next(new), expected)
    assert same(next(other), expected)


def test_counters_can_be_set_by_hand(tmp_path: Path) -> None:
    first = loader(fixed_data=True)
    batches = list(first)
    save_generator_state(first.param_generator, first.data_generator, tmp_path / "generators.json")
    new = loader(seed=None, fixed_data=True)
    new.restore_state(load_generator_state(tmp_path / "generators.json"))
    new.current_batch, new.current_epoch = 2, 7
    assert same(next(new), batches[2])
    assert (new.current_batch, new.current_epoch) == (3, 7)


def test_fixed_data_is_the_same_in_each_epoch_and_dynamic_data_is_not() -> None:
    fixed, dynamic = loader(fixed_data=True), loader()
    assert all(same(a, b) for a, b in zip(list(fixed), list(fixed), strict=True))
    assert not any(same(a, b) for a, b in zip(list(dynamic), list(dynamic), strict=True))


def test_changing_a_batch_does_not_change_fixed_data() -> None:
    fixed = loader(fixed_data=True)
    data, _ = next(fixed)
    before = data.copy()
    data[:] = 0
    list(fixed)
    assert (next(fixed)[0] == before).all()


def test_without_a_path_the_file_is_named_after_the_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loader(loader_id="val").save_state()
    assert [path.name for path in tmp_path.iterdir()] == ["gmm_loader_state_val.json"]


def test_the_parameter_generator_is_written_once(tmp_path: Path) -> None:
    state = loader().save_state(tmp_path / "state.json")
    assert "param_generator_state" not in state["data_generator_state"]
    assert (tmp_path / "state.json").read_text().count('"PCG64"') == 2


def test_two_parameter_generators_are_both_written(tmp_path: Path) -> None:
    config = MixtureConfig(points=8)
    own, (drawn, data) = ParameterGenerator(config, 1), create_generators(config, 2)
    state = save_generator_state(own, data, tmp_path / "state.json")
    assert state["data_generator_state"]["param_generator_state"] == drawn.get_state() != own.get_state()


def test_the_state_that_is_returned_is_the_state_that_is_read(tmp_path: Path) -> None:
    fixed = loader(fixed_data=True)
    state = fixed.save_state(tmp_path / "state.json")
    read = load_generator_state(tmp_path / "state.json")
    assert json.dumps(state, cls=NumpyEncoder) == json.dumps(read, cls=NumpyEncoder)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = loader()
    one.save_state(tmp_path / "state.json")
    before = (tmp_path / "state.json").read_bytes()
    next(one)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        one.save_state(tmp_path / "state.json")
    assert (tmp_path / "state.json").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


ARRAYS = [
    np.array([0.1, np.nan, -0.0, np.inf], np.float32),
    np.zeros((0, 3), np.int16),
    np.array(2**64 - 1, np.uint64),
    np.array([[1 + 2j]], np.complex64),
    np.asfortranarray(np.arange(6, dtype=">f8").reshape(2, 3)),
    np.array([True, False]),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_an_array_keeps_its_dtype_shape_and_bits(array: Any) -> None:
    back = unpack_array(json.loads(json.dumps(array, cls=NumpyEncoder)), "array")
    assert (back.dtype.str, back.shape, back.tobytes()) == (array.dtype.str, array.shape, array.tobytes())


def test_numpy_scalars_become_plain_numbers_and_objects_are_refused() -> None:
    assert json.dumps([np.int64(3), np.float32(0.5), np.bool_(True)], cls=NumpyEncoder) == "[3, 0.5, true]"
    with pytest.raises(TypeError, match="dtype object"):
        json.dumps(np.array([object()]), cls=NumpyEncoder)
    with pytest.raises(TypeError, match="complex"):
        json.dumps(np.complex64(1j), cls=NumpyEncoder)


def draws(state: RandomState) -> list[Any]:
    rng = state.rng
    return [rng.integers(0, 9, 3, dtype=np.uint32).tolist(), rng.normal(), rng.spawn(1)[0].random()]


def test_a_random_state_goes_on_with_its_half_words_and_its_children() -> None:
    first = RandomState(5)
    draws(first)
    state = json.loads(json.dumps(first.get_state()))
    second = RandomState(6)
    second.set_state(state)
    assert second.get_state() == state == first.get_state()
    assert draws(second) == draws(first)


def test_a_random_state_can_be_reset() -> None:
    state = RandomState()
    first = draws(state)
    state.reset()
    assert draws(state) == first
    other = RandomState(4)
    other.set_state(RandomState(5).get_state())
    other.reset()
    assert draws(other) == draws(RandomState(5))


def test_a_state_without_its_part_changes_nothing() -> None:
    param = ParameterGenerator(MixtureConfig(), 3)
    before = param.get_state()
    param.set_state({})
    param.random_state.set_state({})
    DataGenerator(param).set_state({})
    assert param.get_state() == before


def interrupted(folder: Path, config: ExperimentConfig) -> ExperimentManager:
    ExperimentManager(config, folder, say=lambda line: None).run(num_epochs=1)
    return ExperimentManager(config, folder, say=lambda line: None)


@pytest.mark.parametrize("fixed", [False, True])
def test_an_experiment_resumes_exactly_in_both_modes(tmp_path: Path, fixed: bool) -> None:
    settings = {"samples_per_epoch": 24, "batch_size": 5, "num_epochs": 3, "fixed_data": fixed, "save_every": 4}
    config = ExperimentConfig.model_validate(
        {"data_config": CONFIG, "training_config": {**settings, "validation_samples": 4, "hidden": 8}}
    )
    whole = ExperimentManager(config, tmp_path / "whole", say=lambda line: None).run()
    resumed = interrupted(tmp_path / "cut", config).resume_training()
    assert resumed == whole
    assert whole["step"] == 15
    assert (
        ExperimentManager(config, tmp_path / "cut", say=lambda line: None).resume_training()["digest"]
        == (whole["digest"])
    )


def test_a_checkpoint_that_was_copied_elsewhere_is_all_that_is_needed(tmp_path: Path) -> None:
    config = ExperimentConfig.model_validate({"data_config": CONFIG, "training_config": {"samples_per_epoch": 20}})
    resumed = interrupted(tmp_path / "first", config)
    shutil.copytree(tmp_path / "first/checkpoints/step-00000002", tmp_path / "away/checkpoints/step-00000002")
    away = ExperimentManager(config, tmp_path / "away", say=lambda line: None)
    assert away.resume_training(2, step=2) == resumed.resume_training(2)


def test_the_documented_training_loop_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def train_with_checkpointing(
        model: Any, batches: GMMDataLoader, num_epochs: int, after: Callable[[], None]
    ) -> None:
        # As documented, but for two lines: epochs go on where they were, and batches are counted by the loader
        # (enumerate starts at 0 again), so that the model's checkpoint and the loader's state are of one batch.
        for epoch in range(batches.current_epoch, num_epochs):
            for data, _targets in batches:
                with torch.no_grad():
                    model.weight += 0.1 * torch.from_numpy(data).mean() * model.weight
                if batches.current_batch % 3 == 0:
                    batches.save_state("./loader_state.json")
                    torch.save({"model": model.state_dict(), "epoch": epoch}, "checkpoint.pt")
                after()

    def killed() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt

    left = 8
    whole, model = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    model.load_state_dict(whole.state_dict())
    train_with_checkpointing(whole, loader(), 4, lambda: None)
    with pytest.raises(KeyboardInterrupt):
        train_with_checkpointing(model, loader(), 4, killed)
    model.load_state_dict(torch.load("checkpoint.pt")["model"])
    train_with_checkpointing(model, loader(seed=None, state_path="./loader_state.json", resume=True), 4, lambda: None)
    assert (model.weight == whole.weight).all()


def test_state_saved_at_the_end_of_an_epoch_begins_the_next(tmp_path: Path) -> None:
    first = loader(state_path=tmp_path / "state.json")
    for _ in range(2):
        for _batch in first:
            pass
        first.save_state()
    resumed = loader(state_path=tmp_path / "state.json", resume=True)
    assert (resumed.current_epoch, resumed.current_batch, len(list(resumed))) == (2, 0, 4)


def test_every_test_that_the_coverage_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (gmm_example.EXAMPLE / "COVERAGE.md").read_text()))
    sources = "".join(path.read_text() for path in Path(__file__).parent.glob("test_gmm_*.py"))
    assert len(named) > 40
    assert not {name for name in named if f"def {name}(" not in sources}
