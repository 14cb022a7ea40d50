"""Generators of every kind go on from rng.json as if nothing had happened."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from ckptkit_numpy import NumpyRngBackend, RngSnapshot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rng_copies import snapshot

from ckptkit.backend import (
    Backend,
    Captured,
    CheckContext,
    LoadContext,
    SaveContext,
    SavedItem,
    SupportsEstimate,
    SupportsIngest,
    SupportsProbe,
)
from ckptkit.errors import BackendError, CkptkitError

BITS = ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"]
BACKEND = NumpyRngBackend()
numpy_2 = pytest.mark.skipif(np.__version__.startswith("1."), reason="NumPy 1 cannot replace a seed sequence")


def save(item, folder: Path, *, probe: bool = True) -> tuple[SavedItem, LoadContext]:
    folder.mkdir(exist_ok=True)
    (folder / "rng.json").unlink(missing_ok=True)  # Hypothesis gives all examples one folder
    saved = BACKEND.save(item, folder, context=SaveContext(step=1, probe=probe))
    return saved, LoadContext(files=["rng.json"], metadata=saved.metadata, probe=saved.probe)


def draws(generator: np.random.Generator) -> list:
    half = generator.integers(0, 2**32, 3, dtype=np.uint32).tolist()
    children = [child.random() for child in generator.spawn(2)]
    more = [generator.standard_normal(5).tolist(), generator.random(3).tolist(), generator.permutation(9).tolist()]
    return [half, children, more, generator.integers(0, 2**63, 4).tolist(), generator.exponential(size=3).tolist()]


def used(bits: str, seed: int, steps: list[int]) -> np.random.Generator:
    generator = np.random.Generator(getattr(np.random, bits)(seed))
    actions = [
        lambda: generator.integers(0, 2**32, dtype=np.uint32),
        lambda: generator.standard_normal(3),
        lambda: generator.spawn(2),
        lambda: generator.bytes(5),
    ]
    for step in steps:
        actions[step]()
    return generator


@pytest.mark.parametrize("bits", BITS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**200), steps=st.lists(st.integers(0, 3), max_size=6))
def test_every_generator_goes_on_exactly(tmp_path, bits, seed, steps):
    generator = used(bits, seed, steps)
    _, context = save(generator, tmp_path, probe=False)
    new = BACKEND.load(tmp_path, target=None, context=context)
    again = used(bits, seed, [])
    BACKEND.load(tmp_path, target=again, context=context)
    expected = draws(generator)
    assert draws(new) == expected
    assert draws(again) == expected


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), normals=st.integers(0, 5))
def test_the_cached_normal_of_a_random_state_survives(tmp_path, seed, normals):
    state = np.random.RandomState(seed)
    state.standard_normal(normals)
    _, context = save(state, tmp_path, probe=False)
    new = BACKEND.load(tmp_path, target=None, context=context)
    target = BACKEND.load(tmp_path, target=np.random.RandomState(), context=context)
    expected = [state.standard_normal(3).tolist(), state.randint(0, 99, 5).tolist(), state.rand()]
    for other in (new, target):
        assert [other.standard_normal(3).tolist(), other.randint(0, 99, 5).tolist(), other.rand()] == expected


@pytest.mark.parametrize("bits", BITS)
def test_a_bare_bit_generator_and_a_random_state_on_it_round_trip(tmp_path, bits):
    bare, wrapped = getattr(np.random, bits)(1), np.random.RandomState(getattr(np.random, bits)(2))
    wrapped.standard_normal()
    _, context = save([bare, wrapped], tmp_path)
    new = BACKEND.load(tmp_path, target=None, context=context)
    assert type(new[0]) is type(bare)
    assert new[0].random_raw(5).tolist() == bare.random_raw(5).tolist()
    assert new[1].standard_normal(5).tolist() == wrapped.standard_normal(5).tolist()
    assert BACKEND.prove(tmp_path, context=context).verdict == "same"


def test_dicts_and_lists_are_put_back_in_place(tmp_path):
    def build():
        return {
            "aug": np.random.default_rng(1),
            "workers": [np.random.default_rng([2, i]) for i in range(3)],
            "old": {"a.b": np.random.RandomState(4), "py": random.Random(5), "torch": torch.Generator().manual_seed(6)},
        }

    def outputs(tree):
        return [
            draws(tree["aug"]),
            *map(draws, tree["workers"]),
            tree["old"]["a.b"].rand(3).tolist(),
            tree["old"]["py"].gauss(0, 1),
            torch.randn(3, generator=tree["old"]["torch"]).tolist(),
        ]

    live, target = build(), build()
    outputs(live)
    _, context = save(live, tmp_path)
    inner = target["workers"][1]
    assert BACKEND.load(tmp_path, target=target, context=context) is target
    assert target["workers"][1] is inner
    expected = outputs(live)
    assert outputs(target) == expected
    assert outputs(BACKEND.load(tmp_path, target=None, context=context)) == expected


def test_one_generator_under_two_names_comes_back_as_one(tmp_path):
    shared = np.random.default_rng(1)
    _, context = save({"params": shared, "data": [shared]}, tmp_path)
    new = BACKEND.load(tmp_path, target=None, context=context)
    assert new["params"] is new["data"][0]


def test_two_generators_on_one_bit_generator_are_refused(tmp_path):
    first = np.random.default_rng(1)
    with pytest.raises(BackendError, match=r"generators.b and generators.a share one bit generator"):
        save({"a": first, "b": np.random.Generator(first.bit_generator)}, tmp_path)


def test_spawned_children_are_not_repeated(tmp_path):
    generator = np.random.default_rng(3)
    old = [child.random() for child in generator.spawn(4)]
    _, context = save(generator, tmp_path)
    target = BACKEND.load(tmp_path, target=np.random.default_rng(3), context=context)
    new = [child.random() for child in target.spawn(4)]
    assert new == [child.random() for child in generator.spawn(4)]
    assert not set(new) & set(old)


def test_the_seed_sequence_that_others_hold_is_advanced_and_not_replaced(tmp_path):
    generator = np.random.default_rng(3)
    generator.spawn(1234)
    _, context = save(generator, tmp_path)
    sequence = np.random.SeedSequence(3)
    BACKEND.load(tmp_path, target=np.random.default_rng(sequence), context=context)
    assert sequence.n_children_spawned == 1234


@numpy_2
@pytest.mark.parametrize("ahead", [np.random.default_rng(99), np.random.default_rng(np.random.SeedSequence(3))])
def test_a_target_of_another_seed_or_ahead_gets_the_saved_sequence(tmp_path, ahead):
    generator = np.random.default_rng(3)
    generator.spawn(2)
    ahead.spawn(7)
    _, context = save(generator, tmp_path)
    BACKEND.load(tmp_path, target=ahead, context=context)
    assert ahead.spawn(1)[0].random() == generator.spawn(1)[0].random()


def test_numpy_1_refuses_a_target_of_another_seed_and_leaves_all_as_it_was(tmp_path, monkeypatch):
    live = {"a": np.random.default_rng(1), "b": np.random.default_rng(2)}
    live["b"].spawn(1)
    _, context = save(live, tmp_path)
    monkeypatch.setattr(np, "__version__", "1.26.4")
    target = {"a": np.random.default_rng(1), "b": np.random.default_rng(9)}
    target["a"].random()
    before = snapshot(target).capture()
    with pytest.raises(BackendError, match=r"generators\.b: NumPy 1 cannot give") as caught:
        BACKEND.load(tmp_path, target=target, context=context)
    assert "same seed" in caught.value.hint
    assert snapshot(target).capture() == before
    target["b"] = np.random.default_rng(2)
    assert draws(BACKEND.load(tmp_path, target=target, context=context)["b"]) == draws(live["b"])


@numpy_2
def test_a_great_spawn_counter_costs_no_loop(tmp_path):
    sequence = np.random.SeedSequence(3, n_children_spawned=4_000_000_000)
    generator = np.random.default_rng(sequence)
    _, context = save(generator, tmp_path)
    target = BACKEND.load(tmp_path, target=np.random.default_rng(3), context=context)
    assert target.spawn(1)[0].random() == generator.spawn(1)[0].random()


@pytest.mark.parametrize(
    "sequence",
    [
        np.random.SeedSequence([1, [2**70, 3]]),
        np.random.SeedSequence(np.arange(3, dtype=np.uint64)),
        np.random.SeedSequence(7, spawn_key=(1, 2**40), pool_size=8),
        np.random.SeedSequence(7).spawn(3)[2],
        np.random.SeedSequence([]),
    ],
    ids=["nested", "array", "key", "child", "empty"],
)
def test_every_form_of_seed_spawns_the_same_children(tmp_path, sequence):
    generator = np.random.default_rng(sequence)
    generator.spawn(1)
    _, context = save(generator, tmp_path)
    assert draws(BACKEND.load(tmp_path, target=None, context=context)) == draws(generator)


def test_a_seed_too_long_to_write_is_refused_by_name(tmp_path):
    with pytest.raises(BackendError, match=r"generators\.a: its seed has more than 13000 bits"):
        save({"a": np.random.default_rng(1 << 20_000)}, tmp_path)
    _, context = save(np.random.default_rng((1 << 13_000) - 1), tmp_path)
    assert not list(BACKEND.check(tmp_path, context=context))


@numpy_2
def test_a_generator_without_seed_sequence_still_refuses_to_spawn(tmp_path):
    generator = np.random.Generator(np.random.Philox(key=3))
    _, context = save(generator, tmp_path)
    new = BACKEND.load(tmp_path, target=None, context=context)
    assert new.random(3).tolist() == generator.random(3).tolist()
    with pytest.raises(TypeError):
        new.spawn(1)
    assert BACKEND.prove(tmp_path, context=context).verdict == "same"


class OwnSequence(np.random.bit_generator.ISpawnableSeedSequence):
    def generate_state(self, n_words, dtype=np.uint32):
        return np.arange(1, n_words + 1, dtype=dtype)

    def spawn(self, n_children):
        return [self] * n_children


def test_a_seed_sequence_of_a_class_of_its_own_is_named_as_missing(tmp_path):
    saved, context = save({"aug": np.random.default_rng(OwnSequence())}, tmp_path)
    reasons = ["generators.aug: its seed sequence is of a class of its own, so spawn() is not saved"]
    assert saved.captured == Captured("partial", reasons)
    adopted = BACKEND.describe(tmp_path, context=CheckContext(files=["rng.json"])).captured
    assert adopted.grade == "partial"
    assert BACKEND.prove(tmp_path, context=context).verdict == "same"


def test_the_file_is_strict_json_without_integers_that_readers_round(tmp_path):
    save({bits: np.random.Generator(getattr(np.random, bits)(2**100)) for bits in BITS}, tmp_path)
    integers: list[int] = []
    json.loads((tmp_path / "rng.json").read_bytes(), parse_int=lambda text: integers.append(int(text)))
    assert max(integers) < 2**53


def test_integers_may_also_be_plain(tmp_path):
    generator = np.random.Generator(np.random.PCG64(2**100))
    _, context = save(generator, tmp_path)
    plain = json.loads((tmp_path / "rng.json").read_text())
    leaf = plain["generators"]
    leaf["state"] = {key: int(value) for key, value in leaf["state"].items()}
    leaf["seed_seq"]["entropy"] = int(leaf["seed_seq"]["entropy"])
    (tmp_path / "rng.json").write_text(json.dumps(plain))
    assert draws(BACKEND.load(tmp_path, target=None, context=context)) == draws(generator)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("saved", "target", "message"),
    [
        (rng(), np.random.Generator(np.random.Philox(1)), r"has Generator\(PCG64\), the target has Generator\(Philox"),
        (rng(), np.random.PCG64(1), r"generators: the checkpoint has Generator\(PCG64\), the target has PCG64"),
        (np.random.RandomState(1), rng(), r"has RandomState\(MT19937\), the target has Generator\(PCG64\)"),
        ((rng(),), (rng(), rng()), r"generators: the checkpoint has a list of 1, the target has a list of 2"),
        ((rng(),), ([rng()],), r"generators\[0\]: the checkpoint has Generator\(PCG64\), the target has a list of 1"),
        (rng(), {"a": rng()}, r"generators: the checkpoint has Generator\(PCG64\), the target has a dict"),
        ({"a": rng()}, {"a": object()}, r"generators.a: a builtins.object is not a known generator"),
        ({"a": rng()}, [rng()], r"generators: the checkpoint has a dict, the target has a list of 1"),
    ],
)
def test_a_target_of_another_shape_is_refused_and_unchanged(tmp_path, saved, target, message):
    _, context = save(saved, tmp_path)
    before = snapshot(target).capture() if BACKEND.can_save(target) else None
    with pytest.raises(BackendError, match=message):
        BACKEND.load(tmp_path, target=target, context=context)
    assert before is None or snapshot(target).capture() == before


def test_all_is_refused_before_the_first_generator_is_changed(tmp_path):
    _, context = save(({"a": rng(1), "c": rng(1)}, rng(2)), tmp_path)
    target = ({"a": rng(3), "b": rng(1)}, np.random.Generator(np.random.SFC64(4)))
    with pytest.raises(BackendError, match=r"generators\[1\]"):
        BACKEND.load(tmp_path, target=target, context=context)
    assert list(target[0]) == ["a", "b"]
    assert target[0]["a"].random() == rng(3).random()


def test_what_can_be_saved():
    assert all(
        BACKEND.can_save(item)
        for item in (rng(), [rng()], {"a": [rng(), {}]}, random.Random(), rng().bit_generator, (rng(),))
    )
    others = [
        1,
        {},
        [],
        {"a": 1},
        [rng(), 1],
        {"a": np.zeros(3)},
        torch.zeros(1),
        random.SystemRandom(),
        (1, rng()),
        rng,
    ]
    assert not any(BACKEND.can_save(item) for item in others)


def test_a_list_that_holds_itself_is_refused(tmp_path):
    endless: list = [rng()]
    endless.append(endless)
    assert not BACKEND.can_save(endless)
    with pytest.raises(BackendError, match="levels deep"):
        save(endless, tmp_path)


@pytest.mark.parametrize("name", ["$a", 3])
def test_a_name_that_json_cannot_keep_is_refused(tmp_path, name):
    with pytest.raises(CkptkitError, match="cannot be a name"):
        save({name: rng()}, tmp_path)


def test_a_live_state_that_could_not_be_loaded_is_refused_at_save(tmp_path):
    state = np.random.RandomState(1)
    state.set_state({**state.get_state(legacy=False), "has_gauss": 1, "gauss": float("nan")})
    with pytest.raises(BackendError, match=r"generators\.gauss: nan is not a finite number"):
        save(state, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_proof_holds_and_does_not_disturb_the_live_generators(tmp_path):
    live = {bits: used(bits, 7, [0, 1, 2]) for bits in BITS} | {"old": np.random.RandomState(3), "py": random.Random(4)}
    live["old"].standard_normal()
    before = snapshot(live).capture()
    _, context = save(live, tmp_path)
    assert snapshot(live).capture() == before
    assert BACKEND.prove(tmp_path, context=context).verdict == "same"


ABLATIONS = {
    "aug.has_uint32": 0,
    "aug.state.inc": "3",
    "aug.seed_seq.n_children_spawned": 0,
    "old.has_gauss": 0,
    "old.state.pos": 100,
    "py.gauss_next": None,
}


@pytest.mark.parametrize("field", ABLATIONS)
def test_the_proof_fails_when_a_part_of_the_state_is_lost(tmp_path, field):
    live = {"aug": used("PCG64", 7, [0, 2]), "old": np.random.RandomState(3), "py": random.Random(4)}
    live["old"].standard_normal()
    live["py"].gauss(0, 1)
    _, context = save(live, tmp_path)
    content = json.loads((tmp_path / "rng.json").read_text())
    *path, last = field.split(".")
    node = content["generators"]
    for part in path:
        node = node[part]
    assert node[last] != ABLATIONS[field]
    node[last] = ABLATIONS[field]
    (tmp_path / "rng.json").write_text(json.dumps(content))
    assert not list(BACKEND.check(tmp_path, context=context))
    proof = BACKEND.prove(tmp_path, context=context)
    assert proof.verdict == "differs"
    assert f"generators.{path[0]}" in str(proof.reason)


def test_no_proof_is_taken_when_none_is_wanted(tmp_path):
    saved, context = save(rng(), tmp_path, probe=False)
    assert saved.probe is None
    assert BACKEND.prove(tmp_path, context=context).verdict == "unproven"


def test_a_proof_of_another_version_whose_distributions_differ_is_unproven(tmp_path):
    saved, _ = save(rng(), tmp_path)
    name, raw, _ = saved.probe["draws"][0]
    other = {"versions": {"python": "3.11", "numpy": "9.9"}, "draws": [[name, raw, "sha256:00"]]}
    proof = BACKEND.prove(tmp_path, context=LoadContext(files=["rng.json"], probe=other))
    assert proof.verdict == "unproven"
    assert "9.9" in str(proof.reason)


def test_many_generators_have_a_small_proof_and_summary(tmp_path):
    saved, context = save([rng(i) for i in range(500)], tmp_path)
    assert saved.metadata["generators"] == {"Generator(PCG64)": 500}
    assert len(saved.probe["draws"]) == 1
    assert BACKEND.prove(tmp_path, context=context).verdict == "same"


def test_a_snapshot_is_saved_as_it_was_taken(tmp_path):
    live = {"a": rng(1), "b": [np.random.RandomState(2)]}
    live["twin"] = live["a"]
    copy = snapshot(live)
    assert isinstance(copy, RngSnapshot)
    assert BACKEND.can_save(copy)
    expected = draws(live["a"])
    _, context = save(copy, tmp_path)
    new = BACKEND.load(tmp_path, target=None, context=context)
    assert new["twin"] is new["a"]
    assert draws(new["a"]) == expected


@pytest.mark.parametrize("bits", BITS)
def test_the_estimate_is_near(tmp_path, bits):
    item = {str(i): np.random.Generator(getattr(np.random, bits)(i)) for i in range(20)}
    save(item, tmp_path)
    size = (tmp_path / "rng.json").stat().st_size
    assert size * 0.7 < BACKEND.estimate_bytes(item) < size * 3


def test_the_backend_follows_the_contract(tmp_path):
    assert isinstance(BACKEND, Backend)
    for power in (SupportsIngest, SupportsProbe, SupportsEstimate):
        assert isinstance(BACKEND, power)
    saved, _ = save({"aug": rng()}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["rng.json"]
    assert saved.captured.grade == "complete"
    assert saved.metadata["generators"] == {"generators.aug": "Generator(PCG64)"}
    assert saved.metadata["versions"]["numpy"] == np.__version__
    assert not saved.ambient
    json.dumps([dict(saved.metadata), saved.probe])
