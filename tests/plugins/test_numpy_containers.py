"""Generators in tuples, named tuples and dataclasses, bare seed sequences, and JAX keys go on exactly."""

import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from ckptkit_numpy import GlobalRng, NumpyRngBackend

from ckptkit import CheckpointStore
from ckptkit.backend import CheckContext, LoadContext, SaveContext, SavedItem
from ckptkit.errors import BackendError, DamagedError

BACKEND = NumpyRngBackend()


def save(item: Any, folder: Path) -> SavedItem:
    assert BACKEND.can_save(item)
    folder.mkdir(exist_ok=True)
    return BACKEND.save(item, folder, context=SaveContext(step=1))


def load(folder: Path, target: Any = None) -> Any:
    assert list(BACKEND.check(folder, context=CheckContext(["rng.json"], format_version=2))) == []
    return BACKEND.load(folder, target=target, context=LoadContext(["rng.json"], format_version=2))


class Pair(NamedTuple):
    noise: np.random.Generator
    torch: torch.Generator


@dataclass
class Rngs:
    seed: int
    pair: Pair
    python: random.Random
    more: tuple[Any, ...] = ()
    by_name: dict[str, Any] = field(default_factory=dict)
    words: str = "123"
    rate: float | None = float("inf")


@dataclass(frozen=True, slots=True)
class Frozen:
    rng: np.random.Generator
    count: int


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def make(seed: int) -> Rngs:
    pair = Pair(np.random.default_rng(seed), torch.Generator().manual_seed(seed))
    more = (np.random.RandomState(seed), [np.random.PCG64(seed), (Frozen(np.random.default_rng(seed + 1), seed),)])
    return Rngs(seed, pair, random.Random(seed), more, {"a": np.random.SeedSequence(seed)}, str(seed))


def draw(rngs: Rngs) -> list[Any]:
    frozen = rngs.more[1][1][0]
    return [
        rngs.seed, rngs.words, rngs.rate, frozen.count,
        rngs.pair.noise.normal(), torch.rand(1, generator=rngs.pair.torch).item(), rngs.python.gauss(0, 1),
        rngs.more[0].normal(), int(rngs.more[1][0].random_raw()), frozen.rng.integers(1 << 30),
        rngs.by_name["a"].spawn(2)[1].generate_state(2).tolist(),
    ]  # fmt: skip


def test_nested_containers_are_put_back_in_place(tmp_path: Path) -> None:
    live, target = make(1), make(2)
    draw(live)
    live.seed, live.rate = 2**70, None
    save(live, tmp_path)
    inside = target.pair, target.more, target.by_name["a"]
    assert load(tmp_path, target) is target
    assert (target.pair, target.more, target.by_name["a"]) == inside
    assert draw(target) == draw(live)


def test_without_a_target_tuples_are_lists_and_dataclasses_dicts(tmp_path: Path) -> None:
    live = make(1)
    save(live, tmp_path)
    new = load(tmp_path)
    assert (new["seed"], new["words"], new["rate"]) == (1, "1", float("inf"))
    assert new["pair"]["noise"].normal() == live.pair.noise.normal()
    assert new["more"][1][1][0]["rng"].normal() == live.more[1][1][0].rng.normal()
    assert new["by_name"]["a"].spawn(1)[0].generate_state(1) == live.by_name["a"].spawn(1)[0].generate_state(1)


@pytest.mark.parametrize(
    "saved", [lambda: (rng(), rng()), lambda: (rng(), [random.Random(1)]), lambda: Frozen(rng(), 1)]
)
def test_a_tuple_or_dataclass_of_another_shape_is_refused_and_unchanged(tmp_path: Path, saved: Any) -> None:
    save(saved(), tmp_path)
    target: Any = (rng(5), random.Random(3))
    before = repr(BACKEND.digests(target))
    with pytest.raises(BackendError, match=r"generators.*: the checkpoint has .*, the target has "):
        load(tmp_path, target)
    assert repr(BACKEND.digests(target)) == before


def test_the_proof_of_containers_holds_and_disturbs_nothing(tmp_path: Path) -> None:
    live, twin = make(1), make(1)
    saved = save(live, tmp_path)
    context = LoadContext(["rng.json"], format_version=2, probe=saved.probe)
    assert BACKEND.prove(tmp_path, context=context).verdict == "same"
    assert draw(live) == draw(twin)


@pytest.mark.parametrize("target_seed", [7, 8])
@pytest.mark.parametrize("entropy", [7, [1, 2**80], 2**200])
def test_a_bare_seed_sequence_spawns_the_children_it_was_going_to(
    tmp_path: Path, entropy: Any, target_seed: int
) -> None:
    live = np.random.SeedSequence(entropy, spawn_key=(3,), pool_size=8)
    live.spawn(5)
    save(live, tmp_path)
    target = np.random.SeedSequence(target_seed)
    target.spawn(9)
    assert load(tmp_path, target) is target
    new = load(tmp_path)
    for sequence in (target, new):
        assert sequence.generate_state(4).tolist() == live.generate_state(4).tolist()
    children = [s.spawn(2)[1].generate_state(3).tolist() for s in (live, target, new)]
    assert children[0] == children[1] == children[2]


def test_a_sequence_and_the_generator_that_spawns_from_it_stay_together(tmp_path: Path) -> None:
    def together(seed: int) -> dict[str, Any]:
        sequence = np.random.SeedSequence(seed)
        return {"a": np.random.default_rng(sequence), "z": sequence}

    live, target = together(1), together(2)
    live["a"].spawn(3)
    save(live, tmp_path)
    load(tmp_path, target)
    assert target["a"].bit_generator.seed_seq is target["z"]
    assert target["a"].spawn(1)[0].random() == live["a"].spawn(1)[0].random()
    assert target["z"].spawn(1)[0].generate_state(1) == live["z"].spawn(1)[0].generate_state(1)


def test_global_generators_take_named_containers(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    live, target = make(1), make(2)
    store.save("r", 1, {"rng": GlobalRng(ours=live)})
    expected = draw(live)
    store.restore("r", into={"rng": GlobalRng(ours=target)})
    assert draw(target) == expected


@dataclass
class NothingRandom:
    seed: int = 3


def test_a_dataclass_without_a_generator_is_nobodys_item() -> None:
    assert not BACKEND.can_save(NothingRandom())
    assert not BACKEND.can_save((1, 2))
    assert not BACKEND.can_save(((), {}))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"n_children_spawned":0', '"n_children_spawned":-1'),
        ('"pool_size":4', '"pool_size":100000000'),
        ('"json":"3"', '"json":"[3]"'),
        ('"json":"3"', '"json":3'),
        ('"json":"3"', '"json":"nan nan"'),
    ],
)
def test_a_bad_field_is_damage(old: str, new: str, tmp_path: Path) -> None:
    save({"a": np.random.SeedSequence(1), "b": Frozen(np.random.default_rng(1), 3)}, tmp_path)
    path = tmp_path / "rng.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert [p.code for p in BACKEND.check(tmp_path, context=CheckContext(["rng.json"], format_version=2))]
    with pytest.raises(DamagedError):
        BACKEND.load(tmp_path, target=None, context=LoadContext(["rng.json"], format_version=2))


def test_a_file_of_format_1_is_read(tmp_path: Path) -> None:
    live = np.random.default_rng(3)
    save(live, tmp_path)
    path = tmp_path / "rng.json"
    text = path.read_text()
    assert '"format_version":2' in text
    path.write_text(text.replace('"format_version":2', '"format_version":1'))
    assert load(tmp_path).normal() == live.normal()


def test_a_jax_key_without_jax_is_named(tmp_path: Path) -> None:
    save({"key": np.random.SeedSequence(1)}, tmp_path)
    path = tmp_path / "rng.json"
    leaf = '{"kind":"jax-key","impl":null,"shape":[2],"words":[0,3]}'
    text = path.read_text()
    start = text.index('{"entropy"')
    path.write_text(text[:start] + leaf + text[text.index("}", start) + 1 :])
    script = (
        "import sys; sys.modules['jax'] = None\n"
        "from pathlib import Path\nfrom ckptkit.backend import LoadContext\nfrom ckptkit_numpy import NumpyRngBackend\n"
        "NumpyRngBackend().load(Path(sys.argv[1]), target=None, context=LoadContext(['rng.json'], format_version=2))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (
        "BackendUnavailableError: generators.key: the checkpoint has a JAX key, but jax is not installed" in done.stderr
    )
