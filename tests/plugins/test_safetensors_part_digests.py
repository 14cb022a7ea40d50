"""The proof of a policy has the digests of its files: nothing is digested twice, and equal values are never refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from ckptkit_safetensors import Policy, estimate, part_digests, states, tensor_file
from ckptkit_safetensors import capture as capturing
from ckptkit_safetensors.backend import SafetensorsBackend
from torch import nn

from ckptkit import CheckpointStore
from ckptkit.errors import BackendError
from tests.compat import freeze_torch

FROZEN = Path(__file__).parent.parent / "compat" / "frozen_torch" / "format-2"


def trained(seed: int = 0) -> Policy:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2, 8)).sum().backward()
    optimizer.step()
    return Policy(model=model, optimizer=optimizer)


def digests(store: CheckpointStore, ref: str) -> tuple[dict[str, str], dict[str, str]]:
    item = store.manifest(ref).items["policy"]
    assert item.probe is not None
    return item.probe["digests"], {Path(file.path).name: file.digest for file in item.files}


def test_the_digests_of_the_proof_are_those_of_the_files(tmp_path: Path) -> None:
    store, policy = CheckpointStore(tmp_path), trained()
    store.save("r", 1, {"policy": policy})
    parts, files = digests(store, "r@1")
    live = SafetensorsBackend().digests(policy)
    assert parts == {part: digest for part, digest in live.items() if part != "modules"}
    assert parts["model"] == files["policy.safetensors"]
    assert parts["optimizer"] == files["optimizer_state.pth"]
    assert parts["gradients"] == files["gradients.safetensors"]


def test_nothing_is_digested_once_more_for_the_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> str:
        raise AssertionError("taken by a pass of its own")

    monkeypatch.setattr(tensor_file, "digest", never)
    monkeypatch.setattr(states, "digest", never)
    monkeypatch.setattr(part_digests, "digest_tensors", never)
    policy = trained()
    policy.model.scale = torch.ones(3)  # type: ignore[assignment]
    assert CheckpointStore(tmp_path).save("r", 1, {"policy": policy}).manifest.items["policy"].probe is not None


def test_a_store_of_sha256_has_the_same_digests_of_parts(tmp_path: Path) -> None:
    policy = trained()
    for name, algorithm in (("a", "blake3"), ("b", "sha256")):
        CheckpointStore(tmp_path / name, digest=algorithm).save("r", 1, {"policy": policy})
    one, other = (digests(CheckpointStore(tmp_path / name), "r@1")[0] for name in ("a", "b"))
    assert one == other


def test_a_model_that_did_not_change_is_the_same_file_at_another_step(tmp_path: Path) -> None:
    store, policy = CheckpointStore(tmp_path), trained()
    for step in (1, 2):
        store.save("r", step, {"policy": policy})
    first, second = (digests(store, f"r@{step}")[1] for step in (1, 2))
    assert {name for name in first if first[name] != second[name]} == {"policy_record.json"}


def test_equal_values_in_another_order_are_what_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, target = CheckpointStore(tmp_path), trained(1)
    store.save("r", 1, {"policy": trained()})
    real = torch.optim.AdamW.state_dict

    def turned(self: torch.optim.AdamW) -> dict[str, Any]:
        found = real(self)
        return {**found, "state": dict(reversed(found["state"].items()))}

    monkeypatch.setattr(torch.optim.AdamW, "state_dict", turned)
    assert SafetensorsBackend().digests(target)["optimizer"] != digests(store, "r@1")[0]["optimizer"]
    store.restore("r", into={"policy": target})


@pytest.mark.parametrize("part", ["model", "optimizer"])
def test_other_values_are_not_what_was_saved(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, target = CheckpointStore(tmp_path), trained(1)
    store.save("r", 1, {"policy": trained()})
    real = SafetensorsBackend.load

    def loaded(self: SafetensorsBackend, *given: Any, **named: Any) -> Any:
        policy = real(self, *given, **named)
        with torch.no_grad():
            weight = policy.model[0].weight
            (weight if part == "model" else policy.optimizer.state[weight]["exp_avg"])[0, 0] += 1
        return policy

    monkeypatch.setattr(SafetensorsBackend, "load", loaded)
    with pytest.raises(BackendError, match=f"item 'policy': {part} is not what was saved"):
        store.restore("r", into={"policy": target})


def test_what_format_2_saved_is_read_back_by_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    real = SafetensorsBackend.differing

    def noting(self: SafetensorsBackend, item: Any, folder: Path, parts: Any, /, **named: Any) -> Any:
        asked.append(sorted(parts))
        return real(self, item, folder, parts, **named)

    monkeypatch.setattr(SafetensorsBackend, "differing", noting)
    CheckpointStore(FROZEN).restore("run", into={"policy": freeze_torch.policy(2)})
    assert asked == [["model", "optimizer"]]


def test_an_estimate_captures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("captured for an estimate")

    monkeypatch.setattr(capturing, "capture", never)
    policy = trained()
    policy.model.table = torch.zeros(1 << 18)  # type: ignore[assignment]
    assert (1 << 20) < estimate.of(policy) < (2 << 20)
