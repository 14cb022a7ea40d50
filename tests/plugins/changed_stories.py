"""Trainings in which the program changes modules, optimizer or schedule on the way, between construction and save.

Run as a program it resumes the stories that a store holds, in a process that builds each anew and repeats none of the
changes, saves each again on the way and resumes that too, and prints what came of it:
``python changed_stories.py STORE NAME...``.
"""

import copy
import json
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import torch
from ckptkit_safetensors import Policy
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.optim import lr_scheduler as lrs
from torch.optim.swa_utils import SWALR, AveragedModel

CHANGE_AT, SAVE_AT, AGAIN_AT, STEPS = 3, 6, 9, 12


class Net(nn.Module):
    """A small network with what programs keep beside layers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(8, 2)
        self.twin = nn.Linear(8, 2)
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(1))])
        self.gains = nn.ParameterDict({"a": nn.Parameter(torch.ones(1))})
        self.register_buffer("offset", torch.zeros(4))
        self.act: Any = torch.tanh
        self.tasks: list[Any] = []
        self.table: dict[str, Any] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        offset = getattr(self, "offset", None)
        x = self.body(x if offset is None else x + offset)
        for task in self.tasks:
            x = task(x) if callable(task) else x
        y = self.act(self.head(x) + 0.1 * self.twin(x))
        for scale in (*self.scales, *self.gains.values()):
            y = y * scale.mean()
        extra = getattr(self, "drift", None)
        return y[:, :2] if extra is None else y[:, :2] + extra.mean()


class Lazy(Net):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.ReLU(), nn.Dropout(0.2))


class Unused(Net):
    """Has a lazy layer that no forward reaches before the save."""

    def __init__(self) -> None:
        super().__init__()
        self.later = nn.LazyLinear(2)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        y = super().forward(x)
        return y + self.later(y) if self.calls > SAVE_AT + 2 else y


class Tied(Net):
    def __init__(self) -> None:
        super().__init__()
        self.twin.weight = self.head.weight


class Compiled(Net):
    def __init__(self) -> None:
        super().__init__()
        self.body = torch.compile(self.body, backend="eager")  # type: ignore[assignment]


class Parallel(Net):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.DataParallel(self.body)  # type: ignore[assignment]


class Normed(Net):
    def __init__(self) -> None:
        super().__init__()
        parametrizations.weight_norm(self.head)
        parametrizations.spectral_norm(self.twin)


class Pruned(Net):
    def __init__(self) -> None:
        super().__init__()
        prune.l1_unstructured(self.head, "weight", 0.2)


class Hooked(Net):
    """Has a hook that training takes away."""

    def __init__(self) -> None:
        super().__init__()
        self.head.register_forward_hook(lambda module, args, out: out * 1.1)
        self.handle = self.head.register_forward_hook(lambda module, args, out: out * 0.5)


class Averaged(Net):
    """Is saved with a moving average of its weights."""


class Wrapped(nn.Module):
    """A layer with an adapter beside it."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base, self.low = base, nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + self.low(x)


class Blend:
    """A callable object of the program's own."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.rate


def double(x: torch.Tensor) -> torch.Tensor:
    return x * 2


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

STORIES: dict[str, tuple[type[Net], Change]] = {
    **{change.__name__: (Net, change) for change in ON_THE_WAY},
    "lazy": (Lazy, nothing),
    "lazy_and_unused": (Unused, nothing),
    "lazy_and_a_group_removed": (Lazy, first_group_removed),
    "weights_untied": (Tied, weights_untied),
    "compiled": (Compiled, nothing),
    "parallel": (Parallel, nothing),
    "normed": (Normed, nothing),
    "pruned_from_the_start": (Pruned, nothing),
    "pruned_again": (Pruned, pruned_again),
    "pruning_made_permanent": (Pruned, made_permanent),
    "hook_taken_away": (Hooked, hook_taken_away),
    "average_and_a_head_of_another_shape": (Averaged, head_and_average_of_another_shape),
    "average_and_a_group_removed": (Averaged, first_group_removed),
    "compiled_and_an_activation": (Compiled, activation_of_the_program),
}


def build(name: str, seed: int) -> Policy:
    torch.manual_seed(seed)
    kind, _ = STORIES[name]
    model = kind()
    body, rest = list(model.body.parameters()), [p for n, p in model.named_parameters() if not n.startswith("body")]
    optimizer = torch.optim.AdamW([{"params": body, "lr": 0.02}, {"params": rest}], lr=0.01)
    ema = AveragedModel(model) if kind is Averaged else None
    return Policy(model, optimizer, lrs.StepLR(optimizer, 2, gamma=0.9), ema=ema)


def train(name: str, policy: Policy, start: int, stop: int) -> list[float]:
    """Return the losses of the steps; the data come from the global generator."""
    losses = []
    for step in range(start, stop):
        if step == CHANGE_AT:
            STORIES[name][1](policy)
        x = torch.randn(8, 4)
        y = policy.model(x.to(next(p.dtype for p in policy.model.parameters())))
        loss = (y - x[:, : y.shape[1]].sin()).square().mean()
        policy.optimizer.zero_grad()
        loss.backward()
        policy.optimizer.step()
        if policy.scheduler is not None and len(policy.scheduler.base_lrs) == len(policy.optimizer.param_groups):
            policy.scheduler.step()
        if policy.ema is not None and list(policy.ema.module.state_dict()) == list(policy.model.state_dict()):
            policy.ema.update_parameters(policy.model)
        losses.append(loss.item())
    return losses


def main() -> None:
    from ckptkit_numpy import GlobalRng

    from ckptkit import CheckpointStore

    warnings.simplefilter("ignore")
    store, results = CheckpointStore(sys.argv[1]), {}
    for name in sys.argv[2:]:
        policy = build(name, seed=1)
        try:
            restored = store.restore(name, into={"policy": policy, "rng": GlobalRng()})
        except Exception as error:
            results[name] = {"refused": f"{type(error).__name__}: {error}"}
            continue
        try:
            losses = train(name, policy, SAVE_AT, AGAIN_AT)
            store.save(f"{name}-again", AGAIN_AT, {"policy": policy, "rng": GlobalRng()})
            rest = train(name, policy, AGAIN_AT, STEPS)
            policy = build(name, seed=2)
            store.restore(f"{name}-again", into={"policy": policy, "rng": GlobalRng()})
            again = train(name, policy, AGAIN_AT, STEPS)
        except Exception as error:
            results[name] = {"failed": f"{type(error).__name__}: {error}"}
            continue
        results[name] = {"losses": losses + rest, "again": losses + again, "told": list(restored.warnings)}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
