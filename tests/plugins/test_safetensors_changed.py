"""What training makes of modules and optimizer comes back in what a new process builds, or is named at the save."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import changed_stories as stories
import changes_on_the_way as changes
import pytest
import torch
from ckptkit_numpy import GlobalRng
from ckptkit_safetensors import Policy, SafetensorsBackend
from ckptkit_safetensors.capture import capture
from ckptkit_safetensors.part_digests import of_values
from ckptkit_safetensors.structure import hooks_of, structure_of
from torch import nn

from ckptkit import CheckpointStore
from ckptkit.backend import LoadContext, SaveContext
from ckptkit.errors import BackendError, CkptkitError, DamagedError

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning", "ignore:.*lr_scheduler.step.*")
BACKEND = SafetensorsBackend()
PARTIAL = {
    "optimizer_of_another_class": r"optimizer is a torch\.optim\.sgd\.SGD, there was a torch\.optim\.adamw\.AdamW when",
    "optimizer_made_anew": r"scheduler was taken away since the Policy was built",
    "scheduler_of_another_class": r"scheduler is a torch\.optim\.swa_utils\.SWALR, there was a .*StepLR when",
    "lambdas_exchanged": r"scheduler is a torch\.optim\.lr_scheduler\.LambdaLR, there was a .*StepLR",
    "scheduler_dropped": r"scheduler was taken away",
    "average_from_here_on": r"ema is a torch\.optim\.swa_utils\.AveragedModel, there was none when",
    "scaler_from_here_on": r"scaler is a torch\.amp\.grad_scaler\.GradScaler, there was none",
    "hook_that_acts": r"model\.head has the hook '.*<lambda>' that training registered",
    "hook_that_counts": r"model has the hook '.*count' that training registered",
    "activation_without_a_name": r"model\.act is the function '.*<lambda>' that training put there",
    "functions_without_a_name_in_a_list": r"model\.tasks\[1\] is the function '.*<lambda>' that training put there",
    "foreign_objects_in_a_dict": r"model\.table\['field'\] is a pydantic\.fields\.FieldInfo that training put there",
    "hidden_layer_in_a_list": r"model\.tasks\[0\] is a torch\.nn\.modules\.linear\.Linear that training put there",
    "layer_with_a_function_added": r"model\.body\.4 has the hook '.*<lambda>' that training registered",
}
REFUSED = {
    "last_group_removed_but_not_its_state": "optimizer: holds state of 'head.weight', which is in none of its groups",
    "one_parameter_twice": "optimizer: parameter 'body.0.weight' is in its groups twice",
    "a_function_as_option": r"optimizer\['param_groups'\]\[0\]\['schedule'\] is a builtins.function",
    "parametrized": "model.head is a torch.nn.utils.parametrize.ParametrizedLinear since the Policy was built",
    "old_weight_norm": "model.head has a WeightNorm of weight since the Policy was built",
    "layer_with_an_object_added": r"model.body.4 is a .*Identity since .*notes\['lock'\] is a _thread.lock",
    "layer_of_a_local_class_added": "model.body.4 is a .*Local since .*, which a new process cannot make",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Train and save every story; resume those that could be saved in a new process."""
    root = tmp_path_factory.mktemp("changed")
    saved: dict[str, Any] = {}
    live: dict[str, Any] = {}
    for name in stories.STORIES:
        item = stories.build(name, seed=0)
        stories.train(name, item, 0, stories.SAVE_AT)
        try:
            checkpoint = CheckpointStore(root).save(name, stories.SAVE_AT, {"policy": item, "rng": GlobalRng()})
        except CkptkitError as error:
            saved[name] = error
            continue
        saved[name] = checkpoint.manifest.items["policy"].captured
        live[name] = stories.train(name, item, stories.SAVE_AT, stories.STEPS)
    command = [sys.executable, stories.__file__, str(root), *live]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return saved, live, json.loads(done.stdout)


@pytest.mark.parametrize("name", sorted({*stories.STORIES} - {*PARTIAL, *REFUSED}))
def test_what_training_changed_comes_back_in_what_a_new_process_builds_twice(name: str, told: Any) -> None:
    saved, live, resumed = told
    assert (saved[name].grade, list(saved[name].reasons)) == ("complete", [])
    assert resumed[name] == {"losses": live[name], "again": live[name], "told": []}


@pytest.mark.parametrize("name", PARTIAL)
def test_what_cannot_come_back_is_named_at_the_save_and_told_at_the_restore(name: str, told: Any) -> None:
    saved, _, resumed = told
    assert saved[name].grade == "partial"
    assert any(re.match(PARTIAL[name], reason) for reason in saved[name].reasons), saved[name].reasons
    assert resumed[name]["told"] == [f"item 'policy' is partial: {reason}" for reason in saved[name].reasons]


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_restore_could_take_is_refused_at_the_save_with_what_to_do(name: str, told: Any) -> None:
    error = told[0][name]
    assert isinstance(error, BackendError)
    assert re.search(REFUSED[name], error.message)
    assert len(error.message.splitlines()) == 1
    assert error.hint


def save(item: Any, folder: Path) -> Any:
    return BACKEND.save(item, folder, context=SaveContext(step=1))


def load(folder: Path, target: Any) -> list[str]:
    notes: list[str] = []
    files = tuple(sorted(entry.name for entry in folder.iterdir()))
    BACKEND.load(folder, target=target, context=LoadContext(files=files, notes=notes))
    return notes


def changed(name: str, folder: Path) -> Policy:
    item = stories.build(name, seed=0)
    stories.train(name, item, 0, stories.SAVE_AT)
    save(item, folder)
    return item


def picture(policy: Policy) -> Any:
    hooks = {place: list(map(id, found)) for place, found in hooks_of(policy.model).items()}
    groups = [[id(p) for p in group["params"]] for group in policy.optimizer.param_groups]
    return of_values(capture(policy)), structure_of(policy.model), hooks, groups, list(map(id, policy.model.modules()))


def refuse(*_: Any) -> None:
    raise RuntimeError("no")


@pytest.mark.parametrize("name", ["lazy", "head_wrapped", "pruned", "hook_taken_away", "another_dtype", "weights_tied"])
def test_a_load_that_fails_late_takes_back_what_it_made_of_the_structure(name: str, tmp_path: Path) -> None:
    changed(name, tmp_path)
    target = stories.build(name, seed=1)
    target.optimizer.register_load_state_dict_pre_hook(refuse)
    before = picture(target)
    with pytest.raises(BackendError, match="refused by the target"):
        load(tmp_path, target)
    assert picture(target) == before


def test_a_program_that_makes_the_change_itself_before_it_restores_gets_all_of_it(tmp_path: Path) -> None:
    item = changed("head_of_another_shape", tmp_path)
    target = stories.build("head_of_another_shape", seed=1)
    changes.head_of_another_shape(target)
    assert load(tmp_path, target) == []
    assert of_values(capture(target))["optimizer"] == of_values(capture(item))["optimizer"]
    assert target.model.head.out_features == 5


def test_a_target_that_is_neither_what_was_built_nor_what_was_saved_is_refused(tmp_path: Path) -> None:
    changed("head_of_another_shape", tmp_path)
    target = stories.build("head_of_another_shape", seed=1)
    changes.bias_removed(target)
    with pytest.raises(BackendError, match="of another shape"):
        load(tmp_path, target)


def test_parts_that_are_given_before_training_begins_are_what_the_program_builds(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    policy = Policy(model)
    policy.optimizer = torch.optim.AdamW(model.parameters())
    policy.scheduler = torch.optim.lr_scheduler.StepLR(policy.optimizer, 2)
    model(torch.ones(1, 2)).sum().backward()
    policy.optimizer.step()
    assert save(policy, tmp_path).captured.grade == "complete"


def test_a_dict_of_tensors_that_got_another_one_is_refused_at_the_save(tmp_path: Path) -> None:
    weights = {"a": torch.zeros(2, requires_grad=True)}
    policy = Policy(weights, torch.optim.AdamW([weights["a"]]))
    weights["a"].sum().backward()
    policy.optimizer.step()
    weights["b"] = torch.zeros(1)
    with pytest.raises(BackendError, match=r"model: 'b' is not as it was when the Policy was built"):
        save(policy, tmp_path)


def test_a_hook_of_a_library_that_only_looks_on_is_no_missing_piece(tmp_path: Path) -> None:
    policy = stories.build("frozen", seed=0)
    stories.train("frozen", policy, 0, 1)
    looker = nn.ReLU()
    looker.__module__ = "wandb.integration.torch"
    policy.model.head.register_forward_hook(looker)
    assert save(policy, tmp_path).captured.grade == "complete"


HOSTILE = {
    "a class that is no module": ("head_wrapped", "changed_nets:Wrapped", "changed_nets:Blend"),
    "an invalid dtype": ("buffer_added", '["buffer",true,[2],"torch.float32"', '["buffer",true,[2],"os"'),
    "a module without one above it": ("layer_appended", '["body.4",', '["nobody.4",'),
    "something else": ("layer_appended", '"now":{"modules":', '"now":{"others":'),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_record_of_changes_that_is_not_what_we_write_is_damaged_and_changes_nothing(
    what: str, tmp_path: Path
) -> None:
    name, old, new = HOSTILE[what]
    changed(name, tmp_path)
    path = tmp_path / "module_state.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    target = stories.build(name, seed=1)
    before = picture(target)
    with pytest.raises(DamagedError, match=r"module_state\.json: is not what is written there"):
        load(tmp_path, target)
    assert picture(target) == before


def test_a_module_of_another_package_is_not_made_and_nothing_changes(tmp_path: Path) -> None:
    changed("head_wrapped", tmp_path)
    path = tmp_path / "module_state.json"
    path.write_text(path.read_text().replace("changed_nets:Wrapped", "pdb:Pdb"))
    target = stories.build("head_wrapped", seed=1)
    before = picture(target)
    with pytest.raises(BackendError, match=r"a module of pdb\.Pdb, which is not where the model comes from"):
        load(tmp_path, target)
    assert picture(target) == before


class Registering(nn.Linear):
    """Registers a hook when it is made: a load that makes it anew does not."""

    def __init__(self) -> None:
        super().__init__(8, 8)
        self.register_forward_pre_hook(Registering.doubled)
        self.register_forward_hook(self.halved)

    @staticmethod
    def doubled(module: nn.Module, args: Any) -> Any:
        return (args[0] * 2,)

    def halved(self, module: nn.Module, args: Any, out: torch.Tensor) -> torch.Tensor:
        return out / 2


class Elsewhere(nn.Linear):
    """Of a module of Python that the model does not come from."""


@pytest.mark.parametrize("make", [Registering, lambda: Elsewhere(8, 8)], ids=["registering", "elsewhere"])
def test_a_layer_that_only_its_own_program_can_make_is_refused_at_the_save(make: Any, tmp_path: Path) -> None:
    policy = stories.build("layer_appended", seed=0)
    stories.train("frozen", policy, 0, 1)
    policy.model.body.append(make())
    with pytest.raises(BackendError, match=r"model\.body\.4 is a .*, which a new process cannot make"):
        save(policy, tmp_path)


@pytest.mark.parametrize("where", ["os:system", "torch:load", "torch.nn.functional:no_such", "torch.hub:load"])
def test_a_function_is_looked_up_only_where_the_model_comes_from(where: str, tmp_path: Path) -> None:
    changed("activation_of_torch", tmp_path)
    path = tmp_path / "module_state.json"
    path.write_text(path.read_text().replace("torch.nn.functional:silu", where))
    assert where in path.read_text()
    target = stories.build("activation_of_torch", seed=1)
    (note,) = load(tmp_path, target)
    assert note.startswith(f"model.act: the checkpoint has the attributes of {where.replace(':', '.')}")
    assert target.model.act is torch.tanh
