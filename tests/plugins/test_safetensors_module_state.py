"""What a `state_dict` leaves out comes back: modes, flags, attributes, generators, buffers; what cannot is named."""

import functools
import io
import itertools
import json
import logging
import re
import shutil
import subprocess
import sys
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import module_stories as stories
import pytest
import torch
from ckptkit_numpy import GlobalRng
from ckptkit_safetensors import Policy, SafetensorsBackend
from torch import nn
from torch.optim.swa_utils import AveragedModel

from ckptkit import CheckpointStore
from ckptkit.backend import CheckContext, LoadContext, SaveContext, SavedItem
from ckptkit.errors import BackendError, DamagedError

BACKEND = SafetensorsBackend()


def save(item: Any, folder: Path) -> SavedItem:
    folder.mkdir(exist_ok=True)
    return BACKEND.save(item, folder, context=SaveContext(step=1))


def load(folder: Path, target: Any) -> Any:
    files = tuple(sorted(entry.name for entry in folder.iterdir()))
    assert list(BACKEND.check(folder, context=CheckContext(files=files))) == []
    return BACKEND.load(folder, target=target, context=LoadContext(files=files))


def policy(model: nn.Module) -> Policy:
    return Policy(model, torch.optim.AdamW(model.parameters(), lr=0.1))


def captured_at(root: Path, run: str, step: int) -> tuple[str, list[str]]:
    manifest = json.loads((root / run / f"step-{step:08d}" / "manifest.json").read_text())
    captured = manifest["items"]["policy"]["captured"]
    return captured["grade"], captured["reasons"]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Train every story, save it on the way, and let a new process resume them all from the store."""
    root = tmp_path_factory.mktemp("stories")
    live = {}
    for name in stories.STORIES:
        item = stories.build(name, seed=0)
        stories.train(item, 0, stories.SAVE_AT)
        CheckpointStore(root).save(name, stories.SAVE_AT, {"policy": item, "rng": GlobalRng()})
        live[name] = stories.train(item, stories.SAVE_AT, stories.STEPS)
    command = [sys.executable, stories.__file__, str(root), *stories.STORIES]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return root, live, json.loads(done.stdout)


@pytest.mark.parametrize("name", stories.STORIES)
def test_a_resume_in_a_new_process_goes_on_as_the_live_run_did(name: str, told: Any) -> None:
    root, live, resumed = told
    assert resumed[name] == live[name]
    assert captured_at(root, name, stories.SAVE_AT) == ("complete", [])


IN_THE_STATE_DICT = {"ExtraState", "AddedGroup", "GroupExtendedByHand", "MovedToAGroup", "Wide"}


@pytest.mark.parametrize("name", sorted({*stories.STORIES} - IN_THE_STATE_DICT))
def test_without_the_file_of_modules_the_same_resume_differs(name: str, told: Any, tmp_path: Path) -> None:
    root, live, _ = told
    folder = tmp_path / "policy"
    shutil.copytree(root / name / f"step-{stories.SAVE_AT:08d}" / "policy", folder)
    (folder / "module_state.json").write_text("{}")
    item = stories.build(name, seed=1)
    files = tuple(entry.name for entry in folder.iterdir())
    BACKEND.load(folder, target=item, context=LoadContext(files=files))
    CheckpointStore(root).restore(name, into={"rng": GlobalRng()})
    assert stories.train(item, stories.SAVE_AT, stories.STEPS) != live[name]


class Ordinary(nn.Module):
    """What ordinary models hold beside parameters: callables, classes, settings, references, handles, a logger."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.activation, self.norm, self.make = nn.functional.gelu, nn.BatchNorm2d, functools.partial(nn.Linear, 2)
        self.settings = {"mean": (0.5, 0.5), "url": "https://example.org/x", "act": nn.ReLU, "crop": None}
        self.alias, self.weak, self.dtype, self.device = [self.layer], weakref.ref(self.layer), torch.float32, "cpu"
        self.handle = self.layer.register_forward_hook(lambda *_: None)
        self.log, self.root = logging.getLogger("x"), Path("/tmp")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(self.layer(x))


def bert() -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    return BertForSequenceClassification(BertConfig(vocab_size=30, **sizes))


def old_weight_norm() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch itself asks to use parametrizations instead
        model = nn.Sequential(nn.utils.weight_norm(nn.Linear(2, 2)), nn.utils.spectral_norm(nn.Linear(2, 2)))
    model(torch.ones(1, 2))
    return model


MODELS: dict[str, Callable[[], nn.Module]] = {
    "ordinary": Ordinary,
    "bert": bert,
    "transformer": lambda: nn.Transformer(8, 2, 1, 1, 8, batch_first=True),
    "lstm": lambda: nn.LSTM(2, 2, 2, dropout=0.1),
    "compiled": lambda: torch.compile(nn.Sequential(nn.Linear(2, 2)), backend="eager"),
    "average": lambda: AveragedModel(Ordinary()),
    "weight norm": old_weight_norm,
    "parametrized": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2)),
    "scripted": lambda: torch.jit.script(nn.Sequential(nn.Linear(2, 2))),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("name", MODELS)
def test_an_ordinary_model_is_complete_and_comes_back(name: str, tmp_path: Path) -> None:
    saved = save(policy(MODELS[name]()), tmp_path)
    assert (saved.captured.grade, list(saved.captured.reasons)) == ("complete", [])
    load(tmp_path, policy(MODELS[name]()))


class Counting(nn.Module):
    """Holds what nobody can say."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.inner = nn.Sequential(nn.Linear(2, 2))
        self.inner.counter = itertools.count()  # type: ignore[assignment]
        self.words = (word for word in "abc")
        self.mask = torch.eye(2).to_sparse()
        self.own = torch.optim.SGD(self.layer.parameters(), lr=0.1)
        self.moments = {self.layer.weight: 1.0}


def test_what_cannot_be_said_is_named_by_module_and_attribute_and_the_rest_comes_back(tmp_path: Path) -> None:
    model = Counting()
    model.inner.eval()
    captured = save(policy(model), tmp_path).captured
    assert captured.grade == "partial"
    for place in ("model.inner.counter", "model.words", "model.mask", "model.own", "model.moments"):
        assert sum(reason.startswith(f"{place} is ") for reason in captured.reasons) == 1, captured.reasons
    assert len(captured.reasons) == 5
    new = Counting()
    counter = new.inner.counter
    load(tmp_path, policy(new))
    assert not new.inner.training
    assert new.inner.counter is counter


def test_a_model_that_draws_is_partial_in_a_set_without_the_global_generators(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    item = policy(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1)))
    store.save("without", 1, {"policy": item})
    store.save("with", 1, {"policy": item, "rng": GlobalRng()})
    item.model[1].p = 0.0
    store.save("none", 1, {"policy": item})
    reason = (
        "model.1 (Dropout, p=0.1) draws random numbers in training, and the random generators of the process are not "
        "in the checkpoint: save a GlobalRng too"
    )
    assert captured_at(tmp_path, "without", 1) == ("partial", [reason])
    assert captured_at(tmp_path, "with", 1) == captured_at(tmp_path, "none", 1) == ("complete", [])
    restored = store.restore("without", into={"policy": item})
    assert any("GlobalRng" in line for line in restored.warnings)


DRAWING: dict[str, tuple[Callable[[], nn.Module], bool]] = {
    "dropout": (lambda: nn.Dropout2d(0.1), True),
    "dropout in eval": (lambda: nn.Sequential(nn.Dropout().eval()), False),
    "rrelu": (nn.RReLU, True),
    "attention": (lambda: nn.MultiheadAttention(2, 1, dropout=0.1), True),
    "attention without": (lambda: nn.MultiheadAttention(2, 1), False),
    "lstm": (lambda: nn.LSTM(2, 2, 2, dropout=0.1), True),
    "lstm of one layer": (lambda: nn.LSTM(2, 2), False),
    "saved in an evaluation": (lambda: nn.Sequential(nn.Dropout()).eval(), True),
}


@pytest.mark.parametrize("name", DRAWING)
def test_what_draws_in_training_is_known(name: str, tmp_path: Path) -> None:
    make, draws = DRAWING[name]
    model = nn.ModuleList([nn.Linear(2, 2), make()])
    model.train(not name.startswith("saved"))
    if name == "dropout in eval":
        model[1].eval()
    assert bool(save(policy(model), tmp_path).draws) is draws


def test_a_container_with_something_unsayable_is_left_as_a_whole_and_an_object_but_for_that(tmp_path: Path) -> None:
    model, new = Owner(Foreign()), Owner(Foreign())
    shared = torch.ones(2)
    model.steps = [shared, {"a": itertools.count()}, shared]  # type: ignore[assignment]
    model.again = shared  # type: ignore[assignment]
    model.memory.counter, model.memory.total = itertools.count(), 7  # type: ignore[attr-defined]
    new.again = torch.zeros(2)  # type: ignore[assignment]
    captured = save(policy(model), tmp_path).captured
    assert [reason.partition(" is ")[0] for reason in captured.reasons] == [
        "model.memory.counter",
        "model.steps[1]['a']",
    ]
    load(tmp_path, policy(new))
    assert new.memory.total == 7
    assert not hasattr(new, "steps")
    assert new.again.tolist() == [1.0, 1.0]


class Extra(nn.Linear):
    def __init__(self, extra: Any) -> None:
        super().__init__(2, 2)
        self.extra = extra

    def get_extra_state(self) -> Any:
        return self.extra

    def set_extra_state(self, state: Any) -> None:
        self.extra = state


@pytest.mark.parametrize("extra", [itertools.count(), io.BytesIO(b"x")], ids=["count", "BytesIO"])
def test_extra_state_that_cannot_be_said_is_named_and_stays_that_of_the_target(extra: Any, tmp_path: Path) -> None:
    captured = save(policy(Extra(extra)), tmp_path).captured
    assert captured.grade == "partial"
    assert {reason.partition(" is ")[0] for reason in captured.reasons} == {"model.extra", "model._extra_state"}
    assert load(tmp_path, policy(Extra({"own": 1}))).model.extra == {"own": 1}


def test_an_object_that_holds_more_by_now_still_takes_what_was_saved(tmp_path: Path) -> None:
    old, new = Owner(Foreign()), Owner(Foreign())
    old.memory.total, new.memory.total, new.memory.news = 3, 0, "newer version"  # type: ignore[attr-defined]
    save(policy(old), tmp_path)
    load(tmp_path, policy(new))
    assert (new.memory.total, new.memory.news) == (3, "newer version")


def test_what_is_too_large_for_a_record_is_named_once_and_the_save_goes_on(tmp_path: Path) -> None:
    model = Counting()
    model.history = [0.5] * 300_000  # type: ignore[assignment]
    model.text = "x" * (1 << 21)  # type: ignore[assignment]
    reasons = save(policy(model), tmp_path).captured.reasons
    named = [reason for reason in reasons if "too large" in reason]
    assert len(named) == 1, reasons
    assert named[0].startswith("model.history[")
    load(tmp_path, policy(Counting()))


def test_attributes_that_take_more_than_the_model_are_a_hazard(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    model.data = torch.zeros(10 << 20)  # type: ignore[assignment]
    saved = save(policy(model), tmp_path)
    assert saved.hazards == ["attributes of modules take 40 MB of each checkpoint, most of all model.data"]


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_the_mode_of_a_scripted_part_comes_back(tmp_path: Path) -> None:
    def make() -> nn.Module:
        return torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(0.99))))

    old, new = make(), make()
    dict(old.named_modules())["1"].eval()
    save(policy(old), tmp_path)
    load(tmp_path, policy(new))
    assert [module.training for module in new.modules()] == [True, True, False, False]
    x = torch.ones(1, 2)
    assert torch.equal(new(x), old(x))


class Owner(nn.Module):
    def __init__(self, memory: Any = None) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.memory = memory
        self.count = 0


class Foreign:
    """Of a package that the modules of the target do not come from, once its name says so."""


def state_of(model: nn.Module) -> tuple[Any, ...]:
    return (model.count, model.memory, model.training, *[v.tolist() for v in model.state_dict().values()])


def test_an_object_of_another_package_is_not_made_and_what_the_target_has_there_stays(tmp_path: Path) -> None:
    model = Owner(Foreign())
    model.count = 3
    model.twice = model.memory  # type: ignore[assignment]
    save(policy(model), tmp_path)
    record = tmp_path / "module_state.json"
    name = "test_safetensors_module_state:Foreign"
    assert name in record.read_text()
    record.write_text(record.read_text().replace(name, "tempfile:_TemporaryFileCloser"))
    target, notes = policy(Owner()), []
    files = tuple(sorted(entry.name for entry in tmp_path.iterdir()))
    BACKEND.load(tmp_path, target=target, context=LoadContext(files=files, notes=notes))
    assert (target.model.memory, target.model.count, hasattr(target.model, "twice")) == (None, 3, False)
    assert len(notes) == 2
    assert re.match(r"model\.memory: .*_TemporaryFileCloser.*has nothing: left as it is", notes[0])


def test_an_attribute_that_does_not_arrive_takes_the_whole_load_back(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3))
    model.generator = torch.Generator().manual_seed(5)  # type: ignore[assignment]
    model.seen = [1, 2]  # type: ignore[assignment]
    save(policy(model), tmp_path)

    class Turning(nn.Dropout):
        @property
        def p(self) -> float:  # type: ignore[override]
            return 0.1

        @p.setter
        def p(self, value: float) -> None:
            self.__dict__["p"] = 0.1

    new = nn.Sequential(nn.Linear(2, 2), Turning())
    new.generator, new.seen = torch.Generator().manual_seed(6), [0]  # type: ignore[assignment]
    weight, state = new[0].weight.tolist(), new.generator.get_state().tolist()  # type: ignore[union-attr]
    with pytest.raises(BackendError, match=r"model\.1\.p: is not what was put there"):
        load(tmp_path, policy(new))
    assert (new[0].weight.tolist(), new.generator.get_state().tolist(), new.seen) == (weight, state, [0])  # type: ignore[union-attr]


def test_a_torch_without_an_attribute_of_the_saved_one_still_loads(tmp_path: Path) -> None:
    save(policy(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3))), tmp_path)
    record = tmp_path / "module_state.json"
    record.write_text(record.read_text().replace('["1","inplace",false]', '["1","inplace",false],["1","news",2]'))
    assert '"news"' in record.read_text()
    new = load(tmp_path, policy(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))))
    assert new.model[1].p == 0.3
    assert not hasattr(new.model[1], "news")


def test_where_something_is_stays_that_of_the_target(tmp_path: Path) -> None:
    model = Owner({"device": "cuda:0", "out": "/runs/1", "word": "a"})
    save(policy(model), tmp_path)
    new = load(tmp_path, policy(Owner({"device": "cpu", "out": "/runs/2", "word": "b"})))
    assert new.model.memory == {"device": "cpu", "out": "/runs/2", "word": "a"}


def test_a_bare_module_takes_the_weights_of_a_policy_and_nothing_else(tmp_path: Path) -> None:
    model = Owner(3)
    save(policy(model.eval()), tmp_path)
    new = load(tmp_path, Owner(4))
    assert new.training
    assert new.memory == 4
    assert torch.equal(new.layer.weight, model.layer.weight)


def test_a_bare_module_takes_all_of_a_bare_module(tmp_path: Path) -> None:
    save(Owner([1, 2]).eval(), tmp_path)
    kept = [0]
    new = load(tmp_path, Owner(kept))
    assert not new.training
    assert new.memory is kept
    assert kept == [1, 2]


WRONG = [
    ('"train":[""', '"train":3,"x":[""'),
    ('"frozen":[]', '"frozen":3'),
    ('"attributes":[', '"attributes":[3,'),
    ('"attributes":[', '"attributes":[["","memory",[1]],'),
    ('"attributes":[', '"attributes":[["","memory",{"same":"nowhere"}],'),
    ('"attributes":[', '"attributes":[["","memory",{"tensor":"nowhere"}],'),
    ('"attributes":[', '"attributes":[["","memory",{"generator":{"kind":"generator","bit_generator":"MT19937"}}],'),
    ('"attributes":[', '"attributes":[["","memory",{"bytes":"?"}],'),
    ('"attributes":[', '"attributes":[["","memory",{"what":1}],'),
    ('"attributes":[', '"attributes":[["","memory",{"number":["float32","x"]}],'),
    ('"buffers":[]', '"buffers":[[]]'),
    ('"model":{', '"model":3,"x":{'),
]


@pytest.mark.parametrize(("old", "new"), WRONG)
def test_a_record_that_is_not_what_we_write_is_damaged_and_changes_nothing(old: str, new: str, tmp_path: Path) -> None:
    model = Owner(3)
    save(policy(model), tmp_path)
    record = tmp_path / "module_state.json"
    text = record.read_text()
    assert old in text
    record.write_text(text.replace(old, new, 1))
    target = policy(Owner())
    before = state_of(target.model)
    with pytest.raises(DamagedError, match=r"module_state|nowhere|memory"):
        load(tmp_path, target)
    assert state_of(target.model) == before


def test_the_proof_names_what_a_fresh_module_does_not_take(tmp_path: Path) -> None:
    saved = save(policy(Owner([1])), tmp_path)
    files = tuple(entry.name for entry in tmp_path.iterdir())
    context = LoadContext(files=files, probe=saved.probe, factories={"model": lambda: policy(Owner())})
    assert BACKEND.prove(tmp_path, context=context).verdict == "same"
    record = tmp_path / "module_state.json"
    record.write_text(record.read_text().replace('{"list":[1]}', '{"list":[2]}'))
    proof = BACKEND.prove(tmp_path, context=context)
    assert (proof.verdict, proof.reason) == ("differs", "modules: not what was saved")
