"""Files that other programs dumped from NumPy are recognised by content, judged, and loaded."""

import json
from pathlib import Path

import numpy as np
import pytest
from ckptkit_numpy import NumpyRngBackend

from ckptkit.backend import CheckContext, LoadContext, SaveContext
from ckptkit.errors import BackendError, DamagedError

BACKEND = NumpyRngBackend()
BITS = ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"]


def plain(value):
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value.tolist() if hasattr(value, "tolist") else value


def dump(path: Path, value) -> Path:
    path.write_text(json.dumps(plain(value)))
    return path


def adopted(path: Path) -> LoadContext:
    assert BACKEND.recognise(path) == {path.name: path}
    assert not list(BACKEND.check(path.parent, context=CheckContext(files=[path.name])))
    return LoadContext(files=[path.name])


@pytest.mark.parametrize("bits", BITS)
def test_a_dumped_state_is_adopted_under_its_own_name(tmp_path, bits):
    generator = np.random.Generator(getattr(np.random, bits)(2**90))
    generator.integers(0, 9, dtype=np.uint32)
    context = adopted(dump(tmp_path / "loader_state.json", generator.bit_generator.state))
    target = np.random.Generator(getattr(np.random, bits)(1))
    new = BACKEND.load(tmp_path, target=None, context=context)
    BACKEND.load(tmp_path, target=target, context=context)
    expected = [generator.integers(0, 9, 3, dtype=np.uint32).tolist(), generator.standard_normal(3).tolist()]
    for other in (new, target):
        assert [other.integers(0, 9, 3, dtype=np.uint32).tolist(), other.standard_normal(3).tolist()] == expected


def test_the_states_inside_a_larger_document_are_found(tmp_path):
    params, data = np.random.default_rng(42), np.random.default_rng(43)
    one = {"random_state": {"bit_generator_state": params.bit_generator.state, "seed": 42}}
    two = {"random_state": {"bit_generator_state": data.bit_generator.state, "seed": 43}}
    document = {
        "param_generator_state": one,
        "data_generator_state": {
            **two,
            "param_generator_state": one,
            "cached_data": {"data": [[0.5]], "batch_size": 1},
        },
    }
    context = adopted(dump(tmp_path / "gmm_loader_state_0.json", document))
    new = BACKEND.load(tmp_path, target=None, context=context)
    loaded = new["data_generator_state"]["random_state"]["bit_generator_state"]
    assert loaded.random() == data.random()
    described = BACKEND.describe(tmp_path, context=context)
    assert described.captured.grade == "partial"
    assert "spawn()" in described.captured.reasons[0]
    assert "are in one state" in described.hazards[0]
    assert set(described.metadata["generators"].values()) == {"Generator(PCG64)"}


def test_a_document_with_one_state_fits_one_generator(tmp_path):
    generator = np.random.default_rng(42)
    generator.random(5)
    document = {"bit_generator_state": generator.bit_generator.state, "seed": 42}
    context = adopted(dump(tmp_path / "state.json", document))
    target = BACKEND.load(tmp_path, target=np.random.default_rng(0), context=context)
    assert target.random() == generator.random()
    with pytest.raises(BackendError, match=r"Generator\(PCG64\), the target has Generator\(SFC64\)"):
        BACKEND.load(tmp_path, target=np.random.Generator(np.random.SFC64(0)), context=context)


def test_a_dumped_random_state_keeps_its_cached_normal(tmp_path):
    state = np.random.RandomState(1)
    state.standard_normal()
    context = adopted(dump(tmp_path / "np.json", state.get_state(legacy=False)))
    new = BACKEND.load(tmp_path, target=None, context=context)
    assert new.standard_normal(3).tolist() == state.standard_normal(3).tolist()
    assert not BACKEND.describe(tmp_path, context=context).hazards


@pytest.mark.skipif(np.__version__.startswith("1."), reason="NumPy 1 cannot take a seed sequence away")
def test_an_adopted_generator_refuses_to_spawn_children_that_nobody_chose(tmp_path):
    context = adopted(dump(tmp_path / "a.json", np.random.default_rng(1).bit_generator.state))
    with pytest.raises(TypeError):
        BACKEND.load(tmp_path, target=None, context=context).spawn(1)


def test_a_bad_foreign_state_is_refused_by_its_place(tmp_path):
    state = plain(np.random.MT19937(1).state)
    state["state"]["pos"] = 100_000
    path = dump(tmp_path / "a.json", {"workers": [{"rng": state}, None]})
    assert BACKEND.recognise(path) is not None
    (problem,) = BACKEND.check(tmp_path, context=CheckContext(files=["a.json"]))
    assert problem.message.startswith("workers.0.rng.state.pos: 100000 is not")
    with pytest.raises(DamagedError, match=r"^a\.json: workers\.0\.rng\.state\.pos"):
        BACKEND.load(tmp_path, target=None, context=LoadContext(files=["a.json"]))
    with pytest.raises(DamagedError):
        BACKEND.describe(tmp_path, context=CheckContext(files=["a.json"]))


def test_our_own_file_is_recognised_alone_and_as_the_only_one_of_a_folder(tmp_path):
    folder = tmp_path / "rng"
    folder.mkdir()
    saved = BACKEND.save({"a": np.random.default_rng(1)}, folder, context=SaveContext(step=1))
    path = folder / "rng.json"
    assert BACKEND.recognise(path) == BACKEND.recognise(folder) == {"rng.json": path}
    described = BACKEND.describe(folder, context=CheckContext(files=["rng.json"]))
    assert described.metadata["generators"] == saved.metadata["generators"]
    assert not described.hazards
    (folder / "model.safetensors").write_bytes(b"")
    assert BACKEND.recognise(folder) is None


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", b'{"step": 5}'),
        ("a.json", b'{"rng": {"bit_generator": "PCG64"}}'),
        ("a.json", b'{"bit_generator": 1, "state": 2}'),
        ("a.json", b'{"bit_generator": '),
        ("a.json", b""),
        ("a.json", b"\x80\x04 bit_generator"),
        ("a.txt", b'{"bit_generator": "PCG64", "state": {}}'),
        ("rng.json", b"[]"),
    ],
)
def test_other_files_are_not_recognised(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert BACKEND.recognise(tmp_path / name) is None
    assert BACKEND.recognise(tmp_path) is None
    assert BACKEND.recognise(tmp_path / "absent") is None


def test_a_message_stays_on_one_line_whatever_the_keys_are(tmp_path):
    bad = {"bit_generator": "PCG64", "state": 1, "has_uint32": 0, "uinteger": 0, "x\ny": 1}
    dump(tmp_path / "a.json", {"na\nme": bad, "z" * 500: bad})
    problems = list(BACKEND.check(tmp_path, context=CheckContext(files=["a.json"])))
    assert problems
    assert all("\n" not in problem.message and len(problem.message) < 300 for problem in problems)
