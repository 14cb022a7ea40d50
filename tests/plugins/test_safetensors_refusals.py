"""What cannot be saved or put back exactly is refused by name, and the target stays as it was."""

import subprocess
import sys
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from ckptkit_safetensors import Policy, SafetensorsBackend
from torch import nn
from torch.optim import lr_scheduler

from ckptkit.backend import LoadContext, SaveContext
from ckptkit.errors import BackendError, CkptkitError, DamagedError, NewerFormatError

pytestmark = pytest.mark.filterwarnings("ignore:.*quantiz.*", "ignore:Sparse invariant")
BACKEND = SafetensorsBackend()


def save(item: Any, folder: Path) -> None:
    BACKEND.save(item, folder, context=SaveContext(step=1))


def load(folder: Path, target: Any = None, version: int = 1) -> Any:
    files = tuple(sorted(entry.name for entry in folder.iterdir()))
    return BACKEND.load(folder, target=target, context=LoadContext(files=files, format_version=version))


def linear(*sizes: int, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(sizes)))


def stepped(policy: Policy) -> Policy:
    for parameter in policy.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    policy.optimizer.step()
    return policy


def adamw(seed: int = 0) -> Policy:
    model = linear(3, 3, 3, seed=seed)
    return stepped(Policy(model, torch.optim.AdamW(model.parameters(), lr=0.1)))


def contents(policy: Policy) -> str:
    from ckptkit_safetensors.capture import capture
    from ckptkit_safetensors.part_digests import of_values

    return repr(of_values(capture(policy)))


def sparse() -> torch.Tensor:
    return torch.sparse_coo_tensor([[0]], [1.0], (3,))


TENSORS: dict[str, Callable[[], Any]] = {
    "sparse": sparse,
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    "meta": lambda: torch.zeros(2, device="meta"),
    "nn.parameter.UninitializedParameter": lambda: nn.UninitializedParameter(),
    "object": lambda: np.array([{}]),
    "str": lambda: np.array(["a"]),
    "datetime64": lambda: np.zeros(2, "M8[s]"),
    "complex256": lambda: np.zeros(2, np.clongdouble),
    "float16'": lambda: np.zeros(2, [("x", "f2")]),
    "MaskedArray": lambda: np.ma.masked_array([1, 2], [0, 1]),
}


@pytest.mark.parametrize("what", TENSORS)
def test_a_tensor_that_safetensors_cannot_hold_is_refused_by_name(what: str, tmp_path: Path) -> None:
    item = {"good": torch.zeros(1), "bad.one": TENSORS[what]()}
    assert BACKEND.can_save(item)
    with pytest.raises(BackendError, match=r"'bad\.one'"):
        save(item, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[2J", "../up", "/abs", "__metadata__", "\ud800"])
def test_a_name_that_the_format_or_a_terminal_cannot_bear_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"name"):
        save({name: torch.zeros(1)}, tmp_path)


NET = nn.Linear(1, 1)


@pytest.mark.parametrize(
    "item",
    [3, None, {}, [torch.zeros(1)], {"a": 1}, {1: torch.zeros(1)}, Policy(model=7), Policy(NET, ema=[torch.zeros(1)])]
    + [Policy(NET, **{part: {"lr": 1}}) for part in ("optimizer", "scheduler", "scaler")],
)
def test_what_is_no_policy_is_refused(item: Any, tmp_path: Path) -> None:
    assert isinstance(item, Policy) or not BACKEND.can_save(item)
    with pytest.raises(BackendError):
        save(item, tmp_path)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (np.float64(1), "numpy.float64"),
        (np.zeros(2), "numpy.ndarray"),
        (deque([1]), "collections.deque"),
        (Path("x"), "PosixPath"),
        (frozenset([1]), "builtins.frozenset"),
        (slice(1), "builtins.slice"),
        (len, "builtin_function_or_method"),
        (lambda: 1, "function"),
    ],
)
def test_optimizer_state_that_weights_only_refuses_is_refused_at_save(value: Any, named: str, tmp_path: Path) -> None:
    policy = adamw()
    policy.optimizer.param_groups[0]["odd"] = {"deep": [1, value]}
    with pytest.raises(
        BackendError, match=rf"optimizer_state\.pth.*optimizer\['param_groups'\]\[0\]\['odd'\].*{named}"
    ):
        save(policy, tmp_path)


def test_a_metric_of_numpy_in_a_plateau_scheduler_is_named(tmp_path: Path) -> None:
    policy = adamw()
    policy.scheduler = lr_scheduler.ReduceLROnPlateau(policy.optimizer)
    policy.scheduler.best = np.float32(0.5)
    with pytest.raises(BackendError, match=r"scheduler\['best'\] is a numpy\.float32"):
        save(policy, tmp_path)


@pytest.mark.parametrize(
    "value", [{"a": np.zeros(2)}, {"a": {1: 2}}, {"a": {"$x": 1}}, [1], {"a": {1}}, {"a": "\ud800"}]
)
def test_a_config_that_is_not_json_is_refused_by_field(value: Any, tmp_path: Path) -> None:
    policy = adamw()
    policy.preprocessor = value
    with pytest.raises(BackendError, match=r"Policy\.preprocessor"):
        save(policy, tmp_path)


def test_a_trained_parameter_outside_the_model_is_refused(tmp_path: Path) -> None:
    model, alpha = linear(2, 2), nn.Parameter(torch.zeros(()))
    with pytest.raises(BackendError, match=r"parameter 2 of group 0 .* not in the model"):
        save(Policy(model, torch.optim.Adam([*model.parameters(), alpha])), tmp_path)


def test_a_sparse_gradient_is_refused_by_name(tmp_path: Path) -> None:
    model = nn.Embedding(4, 2, sparse=True)
    model(torch.tensor([1])).sum().backward()
    with pytest.raises(BackendError, match=r"gradient of.*'weight'.*sparse"):
        save(Policy(model), tmp_path)


def swapped() -> Policy:
    model = linear(3, 3, 3, seed=1)
    return Policy(model, torch.optim.AdamW(reversed(list(model.parameters())), lr=1))


def two_groups() -> Policy:
    model = linear(3, 3, 3, seed=1)
    return Policy(model, torch.optim.AdamW([{"params": m.parameters()} for m in model]))


def with_optimizer(make: Callable[[Any], Any]) -> Callable[[], Policy]:
    def build() -> Policy:
        model = linear(3, 3, 3, seed=1)
        return Policy(model, make(model.parameters()))

    return build


def fresh(**fields: Any) -> Policy:
    policy = adamw(1)
    for name, value in fields.items():
        setattr(policy, name, value(policy) if callable(value) else value)
    return policy


MISFITS: dict[str, tuple[Callable[[], Any], str]] = {
    "fewer layers": (lambda: linear(3, 3, seed=1), "2 not in the target: '1.bias', '1.weight'"),
    "more layers": (lambda: linear(3, 3, 3, 3, seed=1), "2 missing in the checkpoint: '2.weight', '2.bias'"),
    "other shapes": (lambda: linear(3, 5, 3, seed=1), r"3 of another shape: '0.weight' \(\(3, 3\), target \(5, 3\)\)"),
    "other dtype": (lambda: linear(3, 3, 3, seed=1).half(), r"4 of another dtype: '0.weight' \(F32, target F16\)"),
    "a dict of other names": (lambda: {"x": torch.zeros(1)}, "1 missing in the checkpoint: 'x'; 4 not in the target"),
    "no optimizer": (lambda: Policy(linear(3, 3, 3, seed=1)), "optimizer: the checkpoint holds its state"),
    "SGD for AdamW": (with_optimizer(lambda p: torch.optim.SGD(p, momentum=0.9)), "saved from torch.optim.adamw.AdamW"),
    "Adam for AdamW": (with_optimizer(torch.optim.Adam), "saved from torch.optim.adamw.AdamW"),
    "a scheduler": (
        lambda: fresh(scheduler=lambda p: lr_scheduler.StepLR(p.optimizer, 1)),
        "scheduler: the target has one",
    ),
    "a scaler": (lambda: fresh(scaler=torch.amp.GradScaler("cpu")), "scaler: the target has one"),
    "an EMA": (lambda: fresh(ema=lambda p: linear(3, 3)), "ema: the target has one"),
    "a preprocessor": (lambda: fresh(preprocessor={"a": 1}), "preprocessor: the target has one"),
    "not a policy": (lambda: [1, 2], "cannot save a list"),
}


@pytest.mark.parametrize("what", MISFITS)
def test_state_that_does_not_fit_is_refused_and_the_target_is_unchanged(what: str, tmp_path: Path) -> None:
    save(adamw(), tmp_path)
    build, message = MISFITS[what]
    target = build()
    before = contents(target) if isinstance(target, (Policy, nn.Module)) else None
    with pytest.raises(BackendError, match=message):
        load(tmp_path, target)
    if before is not None:
        assert contents(target) == before


@pytest.mark.parametrize("build", [swapped, two_groups])
def test_the_groups_of_the_checkpoint_replace_those_of_another_program_and_that_is_told(
    build: Callable[[], Policy], tmp_path: Path
) -> None:
    policy, target = adamw(), build()
    save(policy, tmp_path)
    notes: list[str] = []
    files = tuple(sorted(entry.name for entry in tmp_path.iterdir()))
    BACKEND.load(tmp_path, target=target, context=LoadContext(files=files, notes=notes))
    assert contents(target) == contents(policy)
    assert len(notes) == 1
    assert notes[0].startswith("optimizer: has the parameter groups of the checkpoint (4 parameters), not its own (")


def test_a_parameter_that_only_the_optimizer_of_the_checkpoint_trains_is_refused_by_name(tmp_path: Path) -> None:
    weights = {"a": torch.zeros(2, requires_grad=True), "b": torch.zeros(2)}
    save(Policy(weights, torch.optim.AdamW([weights["a"]])), tmp_path)
    target = {"a": torch.zeros(2, requires_grad=True), "b": torch.zeros(2)}
    record = (tmp_path / "policy_record.json").read_bytes()
    (tmp_path / "policy_record.json").write_bytes(record.replace(b'[[["a"', b'[[["c"'))
    with pytest.raises(BackendError, match=r"1 trained parameters that the model does not have: c \[2\] F32"):
        load(tmp_path, Policy(target, torch.optim.AdamW([target["a"]])))


def test_a_long_list_of_differences_is_cut_and_counted(tmp_path: Path) -> None:
    save(linear(*[2] * 10), tmp_path)
    with pytest.raises(BackendError, match=r"16 not in the target: ('\d\.\w+'(, )?){5} and 11 more$"):
        load(tmp_path, linear(2, 2))


def test_another_scheduler_and_a_disabled_scaler_are_refused(tmp_path: Path) -> None:
    policy, target = adamw(), adamw(1)
    policy.scheduler = lr_scheduler.StepLR(policy.optimizer, 3)
    policy.scaler = torch.amp.GradScaler("cpu")
    save(policy, tmp_path)
    target.scheduler = lr_scheduler.ExponentialLR(target.optimizer, 0.9)
    target.scaler = torch.amp.GradScaler("cpu")
    before = contents(target)
    with pytest.raises(BackendError, match=r"scheduler: .*StepLR.*ExponentialLR"):
        load(tmp_path, target)
    target.scheduler = lr_scheduler.StepLR(target.optimizer, 3)
    target.scaler = torch.amp.GradScaler("cpu", enabled=False)
    before = contents(target)
    with pytest.raises(BackendError, match=r"scaler: .*fields differ"):
        load(tmp_path, target)
    assert contents(target) == before


def test_a_target_that_ties_other_weights_is_refused(tmp_path: Path) -> None:
    def build(*, tie: bool, seed: int) -> nn.Module:
        model = linear(3, 3, 3, seed=seed)
        if tie:
            model[1].weight = model[0].weight
        return model

    for name, tie, message in (("a", True, "tied in the checkpoint but not"), ("b", False, "holds different values")):
        (tmp_path / name).mkdir()
        save(build(tie=tie, seed=0), tmp_path / name)
        with pytest.raises(BackendError, match=message):
            load(tmp_path / name, build(tie=not tie, seed=1))


def test_a_part_that_fails_while_it_loads_takes_everything_back(tmp_path: Path) -> None:
    class Stubborn(lr_scheduler.StepLR):
        def load_state_dict(self, state_dict: Any) -> None:
            if state_dict["last_epoch"] == 3:
                self.gamma = -1
                raise RuntimeError("no")
            super().load_state_dict(state_dict)

    class StubbornModel(nn.Linear):
        def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
            super()._load_from_state_dict(*args, **kwargs)
            if torch.equal(self.bias, torch.full((2,), 7.0)):
                raise RuntimeError("no")

    def build(value: float) -> Policy:
        model = nn.Sequential(nn.Linear(2, 2), StubbornModel(2, 2))
        nn.init.constant_(model[1].bias, value)
        optimizer = torch.optim.AdamW(model.parameters(), lr=value)
        return Policy(model, optimizer, Stubborn(optimizer, 3), extra={"value": value})

    for case in ("scheduler", "model"):
        (tmp_path / case).mkdir()
        policy, target = build(7), stepped(build(1))
        if case == "scheduler":
            nn.init.constant_(policy.model[1].bias, 5)
            policy.scheduler.last_epoch = 3
        save(policy, tmp_path / case)
        before, extra = contents(target), target.extra
        with pytest.raises(BackendError, match=r"refused by the target"):
            load(tmp_path / case, target)
        assert contents(target) == before
        assert target.extra is extra


def test_a_read_only_array_and_an_expanded_tensor_are_refused(tmp_path: Path) -> None:
    save({"a": np.zeros(3), "t": torch.zeros(3)}, tmp_path)
    frozen = np.ones(3)
    frozen.flags.writeable = False
    with pytest.raises(BackendError, match=r"2 read-only or expanded in the target"):
        load(tmp_path, {"a": frozen, "t": torch.ones(1).expand(3)})


def test_adopted_adamw_state_is_refused_by_sgd_adam_and_other_shapes(tmp_path: Path) -> None:
    policy = adamw()
    safetensors.torch.save_file(policy.model.state_dict(), tmp_path / "policy.safetensors")
    torch.save(policy.optimizer.state_dict(), tmp_path / "optimizer_state.pth")
    model = linear(3, 3, 3, seed=1)
    for optimizer in (torch.optim.SGD(model.parameters(), momentum=0.9), torch.optim.Adam(model.parameters())):
        with pytest.raises(BackendError, match=r"do not belong to"):
            load(tmp_path, Policy(model, optimizer))
    with pytest.raises(BackendError, match=r"'exp_avg' of parameter '1.bias' has shape"):
        load(tmp_path, Policy(model, torch.optim.AdamW(reversed(list(model.parameters())))))
    load(tmp_path, Policy(model, torch.optim.AdamW(model.parameters())))


def test_damaged_files_are_errors_of_ours_and_leave_the_target_alone(tmp_path: Path) -> None:
    save(fresh(extra={"a": 1}), tmp_path)
    target = adamw(2)
    before = contents(target)
    for file in sorted(tmp_path.iterdir()):
        content = file.read_bytes()
        for damaged in (b"", b"text", content[: len(content) // 2], content[:-1], content + b"x"):
            if file.suffix == ".json" and damaged.endswith(b"x"):
                damaged = b'{"a":1}}'
            file.write_bytes(damaged)
            with pytest.raises(CkptkitError, match=file.name):
                load(tmp_path, target)
        file.unlink()
        with pytest.raises(CkptkitError):
            load(tmp_path, target)
        file.write_bytes(content)
    assert contents(target) == before
    load(tmp_path, target)


@pytest.mark.parametrize(
    "state", [[1], {"state": {}}, {"state": {}, "param_groups": [{}]}, {"state": [], "param_groups": []}]
)
def test_a_state_file_that_is_no_optimizer_state_is_damaged(state: Any, tmp_path: Path) -> None:
    save(adamw(), tmp_path)
    torch.save(state, tmp_path / "optimizer_state.pth")
    with pytest.raises(DamagedError, match=r"optimizer_state.pth"):
        load(tmp_path, adamw(1))


def test_a_newer_format_and_a_folder_without_a_model_are_refused(tmp_path: Path) -> None:
    save(adamw(), tmp_path)
    with pytest.raises(NewerFormatError):
        load(tmp_path, version=4)
    (tmp_path / "policy.safetensors").unlink()
    with pytest.raises(DamagedError, match=r"policy.safetensors"):
        load(tmp_path)


@pytest.mark.parametrize("part", ["policy.safetensors", "optimizer_state.pth"])
def test_a_disk_that_is_full_is_an_error_of_the_system_not_of_the_item(part: str, tmp_path: Path) -> None:
    script = """
import errno, resource, signal, sys
from pathlib import Path
import torch
from ckptkit.backend import SaveContext
from ckptkit_safetensors import Policy, SafetensorsBackend

model = torch.nn.Linear(200, 200)
frozen = torch.nn.Linear(1, 1) if "optimizer" in sys.argv[1] else model
optimizer = torch.optim.SGD(frozen.parameters(), lr=0.1)
for p in frozen.parameters():
    optimizer.state[p]["buffer"] = torch.zeros(40000 if frozen is not model else 1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    SafetensorsBackend().save(Policy(frozen, optimizer), Path(sys.argv[2]), context=SaveContext(step=1))
except OSError as error:
    assert error.errno == errno.EFBIG, error
    sys.exit(42)
"""
    done = subprocess.run([sys.executable, "-c", script, part, str(tmp_path)], capture_output=True, check=False)
    assert done.returncode == 42, done.stderr.decode()
