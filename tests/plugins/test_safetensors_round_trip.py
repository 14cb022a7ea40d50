"""What goes into the files of the safetensors backend comes back bit by bit, with and without ckptkit."""

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from ckptkit_safetensors import Policy, SafetensorsBackend, tensors
from torch import nn

from ckptkit.backend import CheckContext, LoadContext, SaveContext, SavedItem

BACKEND = SafetensorsBackend()


class Tied(nn.Module):
    """An embedding whose weight is the output layer too, with batch statistics and a lost buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(7, 4)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.emb.weight
        self.register_buffer("scratch", torch.zeros(3), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.emb(x)))


def save(item: Any, folder: Path, *, step: int = 5, probe: bool = True) -> SavedItem:
    folder.mkdir(exist_ok=True)
    return BACKEND.save(item, folder, context=SaveContext(step=step, probe=probe))


def load(folder: Path, target: Any = None) -> Any:
    files = tuple(sorted(entry.name for entry in folder.iterdir()))
    assert list(BACKEND.check(folder, context=CheckContext(files=files))) == []
    return BACKEND.load(folder, target=target, context=LoadContext(files=files))


def same(a: Any, b: Any) -> bool:
    """Equal shape, dtype and bits (NaN too)."""
    if isinstance(a, torch.Tensor):
        a, b = a.detach().contiguous().reshape(-1), b.detach().contiguous().reshape(-1)
        return (
            a.dtype == b.dtype
            and a.shape == b.shape
            and (not a.numel() or torch.equal(a.view(torch.uint8), b.view(torch.uint8)))
        )
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def trained(seed: int, model: type[nn.Module] = Tied) -> Policy:
    torch.manual_seed(seed)
    net = model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01 + seed)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.5)
    for _ in range(4):
        net(torch.randint(0, 7, (5,))).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
    return Policy(net, optimizer, scheduler)


TORCH = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.int64, torch.int32, torch.int16,
    torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2,
    torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu, torch.float4_e2m1fn_x2, torch.complex128,
]  # fmt: skip
NUMPY = ["f8", "f4", "f2", "c8", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", "c16"]


def test_tensors_of_every_dtype_come_back_with_every_bit(tmp_path: Path) -> None:
    item = {str(t): torch.randint(0, 256, (3, 16), dtype=torch.uint8).view(t) for t in TORCH}
    item["bool"] = torch.tensor([True, False])
    save(item, tmp_path)
    back = load(tmp_path)
    assert back.keys() == item.keys()
    assert all(same(item[name], back[name]) for name in item)


def test_arrays_of_every_dtype_come_back_as_arrays_with_every_bit(tmp_path: Path) -> None:
    bits = np.random.default_rng(1).integers(0, 256, (3, 16), dtype=np.uint8)
    item = {code: bits.view(code) if code != "?" else bits > 99 for code in NUMPY}
    save(item, tmp_path)
    back = load(tmp_path)
    assert all(same(item[name], back[name]) for name in item)
    plain = safetensors.numpy.load_file(tmp_path / "policy.safetensors")
    plain["c16"] = plain["c16"].view("c16")[..., 0]  # the format has no name for it: real and imaginary parts
    assert all(same(item[name], value) for name, value in plain.items())


def test_tensors_and_arrays_in_one_dict_come_back_as_what_they_were(tmp_path: Path) -> None:
    item = {"t": torch.arange(3), "a": np.arange(3.0), "b": torch.zeros(2, dtype=torch.bfloat16)}
    save(item, tmp_path)
    back = load(tmp_path)
    assert [type(back[name]) for name in item] == [torch.Tensor, np.ndarray, torch.Tensor]
    assert all(same(item[name], back[name]) for name in item)


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(10)[::-3],
        np.array(3.5),
        np.zeros((0, 3)),
        np.arange(4, dtype=">i4"),
    ],
    ids=["fortran", "reversed", "0-dim", "empty", "big-endian"],
)
def test_arrays_of_any_layout_come_back_by_value(array: np.ndarray, tmp_path: Path) -> None:
    save({"a": array}, tmp_path)
    back = load(tmp_path)["a"]
    assert back.shape == array.shape
    assert np.array_equal(back, array)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6.0).reshape(2, 3).T,
        torch.arange(48.0).reshape(1, 3, 4, 4).contiguous(memory_format=torch.channels_last),
        torch.arange(10)[::3],
        torch.zeros(1).expand(4),
        torch.tensor(2.5),
        torch.zeros(0, 3),
        torch.tensor([1 + 2j]).conj(),
        torch.tensor([1 + 2j]).conj().imag,
    ],
    ids=["transposed", "channels last", "strided", "expanded", "0-dim", "empty", "conjugated", "negated"],
)
def test_tensors_of_any_layout_come_back_by_value(tensor: torch.Tensor, tmp_path: Path) -> None:
    save({"a": tensor}, tmp_path)
    back = load(tmp_path)["a"]
    assert back.shape == tensor.shape
    assert torch.equal(back, tensor)


def test_views_of_one_storage_are_saved_apart_and_equal_views_once(tmp_path: Path) -> None:
    base = torch.arange(8.0)
    item = {"all": base, "front": base[:4], "back": base[4:], "again": base}
    saved = save(item, tmp_path)
    back = load(tmp_path)
    assert all(same(item[name], back[name]) for name in item)
    assert back["again"] is back["all"]
    assert saved.metadata["tied"] == 1


def test_a_policy_comes_back_in_place_in_new_objects(tmp_path: Path) -> None:
    old, new = trained(0), trained(1)
    save(old, tmp_path)
    before = {name: value.data_ptr() for name, value in new.model.state_dict().items()}
    assert load(tmp_path, new) is new
    assert {name: value.data_ptr() for name, value in new.model.state_dict().items()} == before
    assert all(same(old.model.state_dict()[n], v) for n, v in new.model.state_dict().items())
    assert new.optimizer.param_groups[0]["lr"] == old.optimizer.param_groups[0]["lr"]
    assert new.scheduler.state_dict() == old.scheduler.state_dict()
    for a, b in zip(old.model.parameters(), new.model.parameters(), strict=True):
        assert all(
            same(old.optimizer.state[a][k], new.optimizer.state[b][k]) for k in ("step", "exp_avg", "exp_avg_sq")
        )


def test_tied_weights_are_saved_once_and_tied_again_with_and_without_ckptkit(tmp_path: Path) -> None:
    old, new, plain = Tied(), Tied(), Tied()
    save(old, tmp_path)
    file = tmp_path / "policy.safetensors"
    assert "head.weight" not in safetensors.torch.load_file(file)
    load(tmp_path, new)
    safetensors.torch.load_model(plain, file)
    for model in (new, plain):
        assert model.head.weight is model.emb.weight
        assert same(model.head.weight, old.emb.weight)


def test_without_a_target_everything_comes_back_as_plain_values(tmp_path: Path) -> None:
    policy = trained(0)
    policy.preprocessor = {"mean": [0.1, 2], "name": "π"}
    policy.ema = {"w": torch.ones(2)}
    policy.model.emb.weight.grad = torch.ones(7, 4)
    save(policy, tmp_path)
    back = load(tmp_path)
    assert sorted(back) == ["ema", "gradients", "model", "optimizer", "preprocessor", "scheduler"]
    assert back["model"]["head.weight"] is back["model"]["emb.weight"]
    assert back["preprocessor"] == policy.preprocessor
    assert same(back["gradients"]["emb.weight"], torch.ones(7, 4))


def test_the_files_are_those_of_the_seed_and_are_read_by_their_own_frameworks(tmp_path: Path) -> None:
    policy = trained(0)
    policy.preprocessor, policy.postprocessor = {"a": 1}, {"b": [1.5, None]}
    save(policy, tmp_path, probe=False)
    names = {"policy.safetensors", "preprocessor_config.json", "postprocessor_config.json", "optimizer_state.pth"}
    names |= {"policy_record.json", "scheduler_state.pth", "module_state.json", "module_state.safetensors"}
    assert {entry.name for entry in tmp_path.iterdir()} == names
    state = torch.load(tmp_path / "optimizer_state.pth", weights_only=True)
    torch.optim.AdamW(Tied().parameters()).load_state_dict(state)


def test_two_saves_of_one_state_are_equal_byte_by_byte(tmp_path: Path) -> None:
    for name in ("a", "b"):
        policy = trained(3)
        policy.ema, policy.extra, policy.example_input = Tied(), {"z": 1, "a": {"y": [1, 2]}}, torch.tensor([1, 2])
        policy.ema.load_state_dict(policy.model.state_dict())
        policy.model.emb.weight.grad = torch.ones(7, 4)
        save(policy, tmp_path / name)
    files = sorted(entry.name for entry in (tmp_path / "a").iterdir())
    assert len(files) == 10
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)


def test_files_get_the_mode_that_the_umask_says(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        save(trained(0), tmp_path)
    finally:
        os.umask(old)
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in tmp_path.iterdir()} == {0o640}


def test_pending_gradients_come_back_and_stale_ones_go(tmp_path: Path) -> None:
    old, new = trained(0), trained(1)
    old.model(torch.tensor([1, 2, 3])).sum().backward()
    old.model.norm.bias.grad = None
    for parameter in new.model.parameters():
        parameter.grad = torch.full_like(parameter, 9)
    save(old, tmp_path)
    load(tmp_path, new)
    assert same(new.model.emb.weight.grad, old.model.emb.weight.grad)
    assert new.model.norm.bias.grad is None


def test_gradients_left_out_on_request_are_named(tmp_path: Path) -> None:
    policy = trained(0)
    policy.gradients = False
    policy.model.emb.weight.grad = torch.ones(7, 4)
    saved = save(policy, tmp_path)
    assert not (tmp_path / "gradients.safetensors").exists()
    assert any("pending gradients" in hazard for hazard in saved.hazards)


def test_json_parts_fill_an_empty_field_and_update_a_mapping_in_place(tmp_path: Path) -> None:
    old, new = trained(0), trained(1)
    old.preprocessor, old.extra = {"a": [1, float("inf")]}, {"epoch": 3}
    save(old, tmp_path)
    mine = {"stale": True}
    new.extra = mine
    load(tmp_path, new)
    assert new.preprocessor == {"a": [1, float("inf")]}
    assert mine == {"epoch": 3}


def test_a_bare_module_takes_only_the_weights(tmp_path: Path) -> None:
    old, new = trained(0), Tied()
    save(old, tmp_path)
    load(tmp_path, new)
    assert all(same(old.model.state_dict()[n], v) for n, v in new.state_dict().items())


def test_a_dict_of_tensors_and_arrays_is_filled_in_place(tmp_path: Path) -> None:
    save({"t": torch.arange(3.0), "a": np.arange(4)}, tmp_path)
    target = {"t": torch.zeros(3, requires_grad=True), "a": np.zeros(4, dtype=np.int64)}
    inner = dict(target)
    load(tmp_path, target)
    assert target["t"] is inner["t"]
    assert target["t"].tolist() == [0, 1, 2]
    assert inner["a"].tolist() == [0, 1, 2, 3]


def test_float32_moments_of_bfloat16_weights_keep_their_dtype(tmp_path: Path) -> None:
    class Master(torch.optim.SGD):
        """Keeps float32 state for bfloat16 parameters, as mixed-precision optimizers do."""

    def build(value: float) -> Policy:
        model = nn.Linear(3, 2).to(torch.bfloat16)
        optimizer = Master(model.parameters(), lr=0.1)
        for parameter in model.parameters():
            optimizer.state[parameter]["master"] = torch.full(parameter.shape, value, dtype=torch.float32)
        return Policy(model, optimizer)

    old, new = build(1 + 2**-20), build(0)
    save(old, tmp_path)
    load(tmp_path, new)
    restored = new.optimizer.state[new.model.weight]["master"]
    assert restored.dtype == torch.float32
    assert restored[0, 0].item() == 1 + 2**-20


def test_the_estimate_is_close_and_never_below_for_large_state(tmp_path: Path) -> None:
    model = nn.Linear(300, 300)
    policy = Policy(model, torch.optim.AdamW(model.parameters()), ema={"w": torch.zeros(90_000)})
    model(torch.zeros(2, 300)).sum().backward()
    policy.optimizer.step()
    save(policy, tmp_path)
    size = sum(entry.stat().st_size for entry in tmp_path.iterdir())
    assert size <= BACKEND.estimate_bytes(policy) <= 1.1 * size


def test_a_module_without_an_optimizer_is_graded_weights_only(tmp_path: Path) -> None:
    assert save(Tied(), tmp_path / "a").captured.grade == "weights-only"
    assert save(trained(0), tmp_path / "b").captured.grade == "complete"
    assert save(Tied().requires_grad_(False), tmp_path / "c").captured.grade == "complete"
    assert save({"a": torch.zeros(2)}, tmp_path / "d").captured.grade == "complete"


def test_a_module_without_tensors_can_be_saved(tmp_path: Path) -> None:
    save(nn.Identity(), tmp_path)
    load(tmp_path, nn.Identity())


def test_every_missing_file_and_every_cut_is_found(tmp_path: Path) -> None:
    policy = trained(0)
    policy.preprocessor, policy.ema = {"a": 1}, {"w": torch.zeros(3)}
    saved = save(policy, tmp_path)
    files = tuple(sorted(entry.name for entry in tmp_path.iterdir()))
    for name in files:
        content = (tmp_path / name).read_bytes()
        rest = tuple(file for file in files if file != name)
        (tmp_path / name).unlink()
        for context in (
            CheckContext(files=files),
            CheckContext(files=rest, metadata=saved.metadata),
            CheckContext(files=()),
        ):
            assert list(BACKEND.check(tmp_path, context=context)), name
        for length in (0, 1, len(content) // 2, len(content) - 1):
            (tmp_path / name).write_bytes(content[:length])
            assert list(BACKEND.check(tmp_path, context=CheckContext(files=files))), (name, length)
        (tmp_path / name).write_bytes(content)


def test_a_policy_of_plain_tensors_keeps_optimizer_and_gradients(tmp_path: Path) -> None:
    def build(value: float) -> Policy:
        weights = {"w": torch.full((3,), value, requires_grad=True), "frozen": torch.full((2,), value)}
        optimizer = torch.optim.Adam([weights["w"]], lr=value)
        weights["w"].square().sum().backward()
        optimizer.step()
        return Policy(weights, optimizer)

    old, new = build(1.0), build(2.0)
    assert save(old, tmp_path).captured.grade == "complete"
    load(tmp_path, new)
    assert same(new.model["w"], old.model["w"])
    assert same(new.model["w"].grad, old.model["w"].grad)
    assert same(new.optimizer.state[new.model["w"]]["exp_avg"], old.optimizer.state[old.model["w"]]["exp_avg"])


def test_complex_numbers_that_lie_unaligned_in_an_older_file_are_moved_before_torch_copies_them(tmp_path: Path) -> None:
    item = {"c": torch.arange(6).to(torch.complex128)}
    save(item, tmp_path)
    file = tmp_path / "policy.safetensors"
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert (8 + length) % 64 == 0
    moved = (length + 8).to_bytes(8, "little") + data[8 : 8 + length] + b" " * 8 + data[8 + length :]
    file.write_bytes(moved)
    found = tensors.read([file])[0]["c"]
    assert found.data_ptr() % 16 == 0
    assert torch.equal(found, item["c"])
