"""What a training changes in its modules, optimizer or schedule, between construction and save."""

import copy
import threading
from collections.abc import Callable
from typing import Any

import torch
from changed_nets import (
    Blend,
    Wrapped,
    double,
)
from ckptkit_safetensors import Policy
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.optim import lr_scheduler as lrs
from torch.optim.swa_utils import SWALR, AveragedModel


def groups(policy: Policy) -> list[dict[str, Any]]:
    return policy.optimizer.param_groups  # type: ignore[no-any-return]


def train_too(policy: Policy, *parameters: nn.Parameter, lr: float = 0.02) -> None:
    policy.optimizer.add_param_group({"params": list(parameters), "lr": lr})


def forget(policy: Policy, *parameters: nn.Parameter) -> None:
    for parameter in parameters:
        policy.optimizer.state.pop(parameter, None)
        for group in groups(policy):
            group["params"][:] = [p for p in group["params"] if p is not parameter]


# --- changes of the optimizer


def first_group_removed(p: Policy) -> None:
    for parameter in groups(p).pop(0)["params"]:
        p.optimizer.state.pop(parameter, None)
        parameter.requires_grad_(False)


def last_group_removed_but_not_its_state(p: Policy) -> None:
    groups(p).pop()


def groups_merged(p: Policy) -> None:
    groups(p)[0]["params"].extend(groups(p).pop()["params"])


def group_split(p: Policy) -> None:
    half = groups(p)[0]["params"][2:]
    del groups(p)[0]["params"][2:]
    train_too(p, *half)


def parameters_reordered(p: Policy) -> None:
    groups(p)[0]["params"].reverse()


def groups_swapped(p: Policy) -> None:
    groups(p).reverse()


def group_emptied(p: Policy) -> None:
    forget(p, *groups(p)[0]["params"])


def one_parameter_twice(p: Policy) -> None:
    groups(p)[1]["params"].append(groups(p)[0]["params"][0])


def moments_of_one_forgotten(p: Policy) -> None:
    del p.optimizer.state[p.model.head.weight]


def all_moments_forgotten(p: Policy) -> None:
    p.optimizer.state.clear()


def state_of_its_own(p: Policy) -> None:
    p.optimizer.state[p.model.head.weight]["seen"] = torch.ones(3)


def options_changed(p: Policy) -> None:
    groups(p)[0].update(lr=0.05, weight_decay=0.3, betas=(0.5, 0.9), name="slow", decay=[1, 2])


def a_function_as_option(p: Policy) -> None:
    groups(p)[0]["schedule"] = lambda n: 1.0


def optimizer_of_another_class(p: Policy) -> None:
    p.optimizer = torch.optim.SGD(p.model.parameters(), lr=0.01, momentum=0.9)
    p.scheduler = None


def optimizer_made_anew(p: Policy) -> None:
    p.optimizer = torch.optim.AdamW(p.model.parameters(), lr=0.03)
    p.scheduler = None


# --- of the schedule


def scheduler_settings(p: Policy) -> None:
    p.scheduler.gamma = 0.3


def scheduler_made_anew(p: Policy) -> None:
    p.scheduler = lrs.StepLR(p.optimizer, 2, gamma=0.7)


def scheduler_of_another_class(p: Policy) -> None:
    p.scheduler = SWALR(p.optimizer, swa_lr=0.05, anneal_epochs=3)


def scheduler_dropped(p: Policy) -> None:
    p.scheduler = None


def average_from_here_on(p: Policy) -> None:
    p.ema = AveragedModel(p.model)


# --- of the modules


def frozen(p: Policy) -> None:
    p.model.body.requires_grad_(False).eval()


def head_of_another_shape(p: Policy) -> None:
    forget(p, *p.model.head.parameters(), *p.model.twin.parameters())
    p.model.head, p.model.twin = nn.Linear(8, 5), nn.Linear(8, 5)
    train_too(p, *p.model.head.parameters(), *p.model.twin.parameters())


def head_and_average_of_another_shape(p: Policy) -> None:
    head_of_another_shape(p)
    p.ema = AveragedModel(p.model)


def head_of_the_same_shape(p: Policy) -> None:
    forget(p, *p.model.head.parameters())
    p.model.head = nn.Linear(8, 2)
    train_too(p, *p.model.head.parameters())


def head_made_identity(p: Policy) -> None:
    forget(p, *p.model.head.parameters(), *p.model.twin.parameters())
    p.model.head, p.model.twin = nn.Identity(), nn.Identity()


def head_wrapped(p: Policy) -> None:
    p.model.head = Wrapped(p.model.head)
    train_too(p, *p.model.head.low.parameters())


def layer_appended(p: Policy) -> None:
    p.model.body.append(nn.Linear(8, 8))
    train_too(p, *p.model.body[-1].parameters())


def layer_removed(p: Policy) -> None:
    del p.model.body[-1]


def list_grown(p: Policy) -> None:
    p.model.scales.append(nn.Parameter(torch.full((3,), 0.9)))
    train_too(p, p.model.scales[-1])


def dict_grown(p: Policy) -> None:
    p.model.gains["b"] = nn.Parameter(torch.full((3,), 0.9))
    train_too(p, p.model.gains["b"])


def buffer_added(p: Policy) -> None:
    p.model.register_buffer("drift", torch.ones(2))


def buffer_added_that_does_not_persist(p: Policy) -> None:
    p.model.register_buffer("drift", torch.ones(2), persistent=False)


def buffer_removed(p: Policy) -> None:
    del p.model.offset


def buffer_grown(p: Policy) -> None:
    p.model.offset = torch.full((1, 4), 0.5)


def bias_removed(p: Policy) -> None:
    forget(p, p.model.head.bias)
    p.model.head.bias = None


def weights_tied(p: Policy) -> None:
    forget(p, p.model.twin.weight)
    p.model.twin.weight = p.model.head.weight


def weights_untied(p: Policy) -> None:
    p.model.twin.weight = nn.Parameter(p.model.head.weight.detach().clone())
    train_too(p, p.model.twin.weight)


def another_dtype(p: Policy) -> None:
    p.model.double()
    p.optimizer.state.clear()


def parametrized(p: Policy) -> None:
    forget(p, p.model.head.weight)
    parametrizations.weight_norm(p.model.head)
    train_too(p, *(v for n, v in p.model.head.named_parameters() if "parametrizations" in n))


def old_weight_norm(p: Policy) -> None:
    forget(p, p.model.head.weight)
    nn.utils.weight_norm(p.model.head)
    train_too(p, p.model.head.weight_g, p.model.head.weight_v)


def pruned(p: Policy) -> None:
    prune.l1_unstructured(p.model.head, "weight", 0.5)


def pruned_again(p: Policy) -> None:
    prune.l1_unstructured(p.model.head, "weight", 0.5)


def made_permanent(p: Policy) -> None:
    prune.remove(p.model.head, "weight")


def hook_that_acts(p: Policy) -> None:
    p.model.head.register_forward_hook(lambda module, args, out: out * 0.5)


def hook_that_counts(p: Policy) -> None:
    p.model.calls = 0

    def count(module: Any, *_: Any) -> None:
        module.calls += 1

    p.model.register_forward_hook(count)


def activation_of_torch(p: Policy) -> None:
    p.model.act = nn.functional.silu


def activation_of_the_program(p: Policy) -> None:
    p.model.act = double


def activation_without_a_name(p: Policy) -> None:
    p.model.act = lambda y: y * 3


def functions_in_a_list(p: Policy) -> None:
    p.model.tasks += [torch.relu, double]


def functions_without_a_name_in_a_list(p: Policy) -> None:
    p.model.tasks += [0.5, lambda x: x * 0.5]


def layers_in_a_list(p: Policy) -> None:
    p.model.tasks.append(p.model.body[3])


def objects_in_a_list(p: Policy) -> None:
    p.model.tasks.append(Blend(0.7))


def foreign_objects_in_a_dict(p: Policy) -> None:
    from blake3 import blake3
    from pydantic.fields import FieldInfo

    p.model.table["field"], p.model.table["hash"] = FieldInfo(default=3), blake3


def paths_in_a_list(p: Policy) -> None:
    p.model.tasks += ["/data/shard-1", "cpu", 0.5]
    p.model.best = "/data/best"


def hidden_layer_in_a_list(p: Policy) -> None:
    p.model.tasks.append(nn.Linear(8, 8).requires_grad_(False))


def teacher_made(p: Policy) -> None:
    p.model.teacher = copy.deepcopy(p.model).requires_grad_(False)


def one_layer_in_two_places(p: Policy) -> None:
    p.model.again = p.model.head


def parameter_registered(p: Policy) -> None:
    p.model.drift = nn.Parameter(torch.full((3,), 0.3))
    train_too(p, p.model.drift)


def entry_of_a_dict_removed(p: Policy) -> None:
    forget(p, p.model.gains["a"])
    del p.model.gains["a"]


def layers_reordered(p: Policy) -> None:
    p.model.body = nn.Sequential(*[p.model.body[i] for i in (0, 2, 1, 3)])


def transformer_layer_added(p: Policy) -> None:
    p.model.body.append(nn.TransformerEncoderLayer(8, 2, 8, 0.1))
    train_too(p, *p.model.body[-1].parameters())


def normalisation_exchanged(p: Policy) -> None:
    forget(p, *p.model.body[1].parameters())
    p.model.body[1] = nn.GroupNorm(2, 8)
    train_too(p, *p.model.body[1].parameters())


def layer_with_a_function_added(p: Policy) -> None:
    layer = nn.Linear(8, 8)
    layer.register_forward_hook(lambda module, args, out: out * 0.5)
    p.model.body.append(layer)


def layer_with_an_object_added(p: Policy) -> None:
    p.model.body.append(nn.Identity())
    p.model.body[-1].notes = {"lock": threading.Lock()}


def layer_of_a_local_class_added(p: Policy) -> None:
    class Local(nn.Linear):
        pass

    p.model.body.append(Local(8, 8))


def layer_with_a_tensor_that_is_no_buffer_added(p: Policy) -> None:
    p.model.body.append(nn.Softplus())
    p.model.body[-1].shift = torch.ones(3)
    p.model.body[-1].rng = torch.Generator().manual_seed(5)


def pruned_in_many_places(p: Policy) -> None:
    layers = [(p.model.head, "weight"), (p.model.twin, "weight"), (p.model.body[0], "weight")]
    prune.global_unstructured(layers, prune.L1Unstructured, amount=0.4)
    prune.ln_structured(p.model.head, "weight", amount=1, n=2, dim=0)


def pending_gradient_of_a_new_layer(p: Policy) -> None:
    layer_appended(p)
    p.model.body[-1].weight.grad = torch.ones(8, 8)


def compiled_in_place(p: Policy) -> None:
    p.model.body.compile(backend="eager")


def hook_taken_away(p: Policy) -> None:
    p.model.handle.remove()


def lambdas_exchanged(p: Policy) -> None:
    p.scheduler = lrs.LambdaLR(p.optimizer, lambda n: 0.5**n)


def scaler_from_here_on(p: Policy) -> None:
    p.scaler = torch.amp.GradScaler("cpu")


def dtype_attribute(p: Policy) -> None:
    p.model.kind = torch.float64


def nothing(p: Policy) -> None:
    pass


Change = Callable[[Policy], None]
ON_THE_WAY: tuple[Change, ...] = (
    first_group_removed, last_group_removed_but_not_its_state, groups_merged, group_split, parameters_reordered,
    groups_swapped, group_emptied, one_parameter_twice, moments_of_one_forgotten, all_moments_forgotten,
    state_of_its_own, options_changed, a_function_as_option, optimizer_of_another_class, optimizer_made_anew,
    scheduler_settings, scheduler_made_anew, scheduler_of_another_class, scheduler_dropped, average_from_here_on,
    frozen, head_of_another_shape, head_of_the_same_shape, head_made_identity, head_wrapped, layer_appended,
    layer_removed, list_grown, dict_grown, buffer_added, buffer_added_that_does_not_persist, buffer_removed,
    buffer_grown, bias_removed, weights_tied, another_dtype, parametrized, old_weight_norm, pruned, hook_that_acts,
    hook_that_counts, activation_of_torch, activation_of_the_program, activation_without_a_name, functions_in_a_list,
    functions_without_a_name_in_a_list, layers_in_a_list, objects_in_a_list, foreign_objects_in_a_dict,
    paths_in_a_list, hidden_layer_in_a_list, teacher_made, one_layer_in_two_places, parameter_registered,
    entry_of_a_dict_removed, layers_reordered, transformer_layer_added, normalisation_exchanged,
    layer_with_a_function_added, layer_with_an_object_added, layer_of_a_local_class_added,
    layer_with_a_tensor_that_is_no_buffer_added, pruned_in_many_places, pending_gradient_of_a_new_layer,
    compiled_in_place, lambdas_exchanged, scaler_from_here_on, dtype_attribute,
)  # fmt: skip
