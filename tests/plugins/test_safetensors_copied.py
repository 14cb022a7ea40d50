"""What is copied out of a torch training, to be saved behind: every layout of a tensor, and state that is shared."""

import random
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from ckptkit_numpy import GlobalRng
from ckptkit_safetensors import Policy, SafetensorsBackend
from torch import nn

from ckptkit import BackendError, CheckpointStore
from ckptkit.backend import SaveContext, SnapshotContext
from ckptkit.buffers import Buffers
from ckptkit.store.copying import Memory, crew

BACKEND = SafetensorsBackend()


def assert_alike(folder: Path, item: Any, change: Any, *, threads: int = 1) -> None:
    """Save it, copy it out, change it, write the copy, and compare the files."""
    for name in ("saved", "copied"):
        (folder / name).mkdir()
    memory = Memory(Buffers(), crew())
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        said = BACKEND.save(item, folder / "saved", context=SaveContext(step=3))
        context = SnapshotContext(step=3, memory=memory.take, together=memory.together)
        pending = BACKEND.snapshot(item, context=context)
    finally:
        torch.set_num_threads(before)
    change()
    assert pending.write(folder / "copied", context=SaveContext(step=3)) == said
    for path in (folder / "saved").iterdir():
        assert (folder / "copied" / path.name).read_bytes() == path.read_bytes(), path.name


base = torch.arange(60.0).reshape(3, 4, 5)
TENSORS = {
    "plain": base.clone(),
    "transposed": base.clone().transpose(0, 2),
    "every other": torch.arange(20.0)[::2],
    "of one element": torch.tensor(3.0),
    "empty": torch.zeros(0, 3),
    "expanded": torch.ones(1, 4).expand(3, 4),
    "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "bfloat16": torch.randn(7).bfloat16(),
    "float8": torch.randn(8).to(torch.float8_e4m3fn),
    "bool": torch.tensor([True, False, True]),
    "complex": torch.randn(4, dtype=torch.complex128),
    "conjugate": torch.randn(4, dtype=torch.complex64).conj(),
    "negative": torch.randn(4, dtype=torch.complex64).conj().imag,
    "a part of a storage": torch.arange(9)[2:5],
}


@pytest.mark.parametrize("name", TENSORS)
def test_any_tensor_of_a_model_is_copied(name: str, tmp_path: Path) -> None:
    tensor = TENSORS[name].clone() if name not in ("expanded", "conjugate", "negative") else TENSORS[name]
    if name in ("transposed", "every other", "channels last", "a part of a storage"):
        tensor = TENSORS[name]
    owner = tensor._base if tensor._base is not None else tensor
    assert_alike(tmp_path, {"w": tensor}, lambda: owner.zero_())


class Strange(torch.optim.SGD):
    """Keeps state of any kind, some of it shared."""

    def fill(self) -> None:
        weight = self.param_groups[0]["params"][0]
        kept = self.state[weight]
        kept |= {name: value.detach().clone() for name, value in TENSORS.items() if name != "a part of a storage"}
        kept["channels last"] = TENSORS["channels last"].clone(memory_format=torch.preserve_format)
        kept["part"], kept["same"] = TENSORS["a part of a storage"], kept["plain"]
        kept["view of the same"] = kept["plain"].reshape(-1)
        kept["nested"] = OrderedDict(steps=[1, 2.5, None, (torch.ones(2), "text")], words={"a"})


@pytest.mark.parametrize("threads", [1, 2])
def test_state_of_an_optimizer_is_copied_with_what_it_shares(threads: int, tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    policy = Policy(model, Strange(model.parameters(), lr=0.1))
    policy.optimizer.fill()
    kept = policy.optimizer.state[next(model.parameters())]

    def change() -> None:
        kept["plain"].zero_()
        kept["channels last"].add_(1)
        kept["nested"]["steps"].append(3)
        kept["nested"]["steps"][3][0].zero_()
        kept["nested"]["words"].add("c")
        policy.optimizer.param_groups[0]["lr"] = 0.5

    assert_alike(tmp_path, policy, change, threads=threads)


def test_tied_weights_and_pending_gradients_are_copied(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    policy = Policy(model, torch.optim.AdamW(model.parameters()), example_input=torch.ones(2, 3))
    model(torch.randn(4, 3)).sum().backward()

    def change() -> None:
        policy.optimizer.step()
        policy.optimizer.zero_grad(set_to_none=False)
        model(torch.randn(4, 3))
        policy.example_input.zero_()

    assert_alike(tmp_path, policy, change)


class Drawing(torch.optim.SGD):
    """Draws a number whenever its state is asked for."""

    def state_dict(self) -> dict[str, Any]:
        random.random()
        return super().state_dict()


def test_generators_that_capturing_has_moved_are_told(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    items = {"policy": Policy(model, Drawing(model.parameters(), lr=0.1)), "rng": GlobalRng()}
    handle = CheckpointStore(tmp_path).save("run", 1, items, wait=False)
    with pytest.raises(BackendError, match="changed the random generators of the process"):
        handle.result()


def test_generators_may_draw_while_it_goes_on_behind(tmp_path: Path) -> None:
    model, store = nn.Linear(64, 64), CheckpointStore(tmp_path)
    items = {"policy": Policy(model, torch.optim.AdamW(model.parameters())), "rng": GlobalRng()}
    handle = store.save("run", 1, items, wait=False)
    expected = random.random(), torch.rand(3)
    while not handle.done():
        random.random()
        torch.rand(3)
    store.restore("run", items)
    assert random.random() == expected[0]
    assert torch.equal(torch.rand(3), expected[1])
