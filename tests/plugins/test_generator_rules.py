"""One law for the states of generators: each backend keeps good ones and refuses bad ones, as its files have them."""

import base64
import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from ckptkit_safetensors import generators as of_modules
from ckptkit_sb3 import process_rng
from ckptkit_sb3.decoding import Decoder
from ckptkit_sb3.encoding import Encoder
from ckptkit_torchdata import generators as of_loaders
from ckptkit_torchdata.rules import leaf_fault

from ckptkit.errors import DamagedError

BITS = ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"]
Json = Any


def as_file(value: Json) -> Json:
    return json.loads(json.dumps(value))


def with_texts(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: with_texts(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [with_texts(entry) for entry in value]
    return str(value) if type(value) is int else value


def capture_of_agent(live: Any) -> Json:
    return as_file(Encoder({}, "").encode(live, "rng"))


def build_of_agent(node: Json) -> Any:
    return Decoder({}).decode(node, None, "rng")


def judge_loader(leaf: Json, where: str) -> None:
    if (fault := leaf_fault(leaf, where)) is not None:
        raise DamagedError(fault)


def bad_torch(state: bytes) -> bytes:
    return state[:16] + (100_000).to_bytes(8, "little") + state[24:]


@pytest.mark.parametrize("bits", BITS)
def test_an_agents_generator_draws_on_and_spawns_the_same_children(bits: str) -> None:
    live = np.random.Generator(getattr(np.random, bits)(3))
    live.random(5, dtype=np.float32)
    live.bit_generator.seed_seq.spawn(2)  # type: ignore[attr-defined]
    copy = build_of_agent(capture_of_agent(live))
    assert copy.random(9).tolist() == live.random(9).tolist()
    assert [child.random() for child in copy.spawn(2)] == [child.random() for child in live.spawn(2)]


@pytest.mark.parametrize("bits", BITS)
def test_numbers_written_as_text_are_damage_to_an_agent(bits: str) -> None:
    saved = capture_of_agent(np.random.Generator(getattr(np.random, bits)(3)))
    with pytest.raises(DamagedError, match=r"rng\."):
        build_of_agent(with_texts(saved))


@pytest.mark.parametrize("name", ["kind", "bit_generator", "seed_seq", "more"])
def test_a_field_that_an_agents_state_does_not_have_is_damage(name: str) -> None:
    saved = capture_of_agent(np.random.default_rng(3))
    saved["state"][name] = None
    with pytest.raises(DamagedError):
        build_of_agent(saved)


def test_an_index_beyond_the_words_of_torch_is_damage_to_an_agent() -> None:
    saved = as_file(process_rng.take_rng())
    process_rng.check_rng(saved)
    saved["torch"][0] = bad_torch(bytes.fromhex(saved["torch"][0])).hex()
    with pytest.raises(DamagedError, match=r"rng\.torch\[0\]\.state\.next: 100000 is not an integer from 0 to 624"):
        process_rng.check_rng(saved)


@pytest.mark.parametrize("item", [random.Random(1), np.random.RandomState(1), np.random.default_rng(1)])
@pytest.mark.parametrize(
    ("capture", "judge"), [(of_modules.capture, of_modules.judge), (of_loaders.capture, judge_loader)]
)
def test_numbers_written_as_text_are_damage_to_a_module_and_to_a_loader(
    item: Any, capture: Callable[[Any], Json], judge: Callable[[Json, str], None]
) -> None:
    saved = as_file(capture(item))
    judge(saved, "rng")
    with pytest.raises(DamagedError, match=r"rng\."):
        judge(with_texts(saved), "rng")


@pytest.mark.parametrize(
    ("capture", "judge"), [(of_modules.capture, of_modules.judge), (of_loaders.capture, judge_loader)]
)
def test_an_index_beyond_the_words_of_torch_is_damage_to_a_module_and_to_a_loader(
    capture: Callable[[Any], Json], judge: Callable[[Json, str], None]
) -> None:
    saved = capture(torch.Generator())
    judge(saved, "rng")
    saved["state"] = base64.b64encode(bad_torch(base64.b64decode(saved["state"]))).decode()
    with pytest.raises(DamagedError, match=r"rng\.state\.next: 100000"):
        judge(saved, "rng")


@pytest.mark.parametrize(
    ("item", "more"),
    [
        (random.Random(1), "version"),
        (random.Random(1), "gauss_next"),
        (torch.Generator(), "device"),
        (np.random.default_rng(1), "seed_seq"),
        (np.random.RandomState(1), "has_uint32"),
    ],
)
def test_a_field_that_a_loaders_file_does_not_have_is_damage(item: Any, more: str) -> None:
    saved = as_file(of_loaders.capture(item))
    assert leaf_fault(saved, "rng") is None
    assert leaf_fault({**saved, more: None}, "rng") is not None
