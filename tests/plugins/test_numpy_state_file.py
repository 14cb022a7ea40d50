"""The lone state file of a data loader: what is written comes back, and what was changed is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ckptkit_numpy import NumpyRngBackend, read_state, write_state
from ckptkit_numpy.state_file import generator_from

from ckptkit import CheckpointStore
from ckptkit.backend import CheckContext
from ckptkit.errors import DamagedError, UsageError
from ckptkit.store import Files

BITS = [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64]


@pytest.mark.parametrize("bits", BITS, ids=lambda bits: bits.__name__)
def test_a_generator_of_every_kind_draws_on_from_the_file(tmp_path: Path, bits: Any) -> None:
    rng = np.random.Generator(bits(5))
    rng.integers(0, 9, 3, dtype=np.uint32)
    write_state(tmp_path / "state.json", {"rng": rng.bit_generator.state, "batch": np.int64(7)})
    state = read_state(tmp_path / "state.json")
    assert state["batch"] == 7
    assert (generator_from(state["rng"]).random(5) == rng.random(5)).all()


def test_arrays_come_back_with_dtype_shape_and_bits(tmp_path: Path) -> None:
    kept = np.array([[0.1, np.nan]], np.float32)
    state = {"rng": np.random.default_rng(1).bit_generator.state, "kept": [kept]}
    write_state(tmp_path / "state.json", state)
    (back,) = read_state(tmp_path / "state.json")["kept"]
    assert (back.dtype, back.shape, back.tobytes()) == (kept.dtype, kept.shape, kept.tobytes())


def test_what_json_cannot_say_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_state(path, {"rng": np.random.default_rng(1).bit_generator.state})
    before = path.read_bytes()
    for value in (float("nan"), object(), {"$number": 1}):
        with pytest.raises(UsageError, match=r"state\.json: the state cannot be written"):
            write_state(path, {"value": value})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", ["[]", "{}", '{"batch": 3}', ""])
def test_a_file_without_a_generator_is_no_state(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(DamagedError, match=r"^state\.json: "):
        read_state(tmp_path / "state.json")


def test_a_changed_counter_is_found_by_the_backend_too(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_state(path, {"rng": np.random.default_rng(1).bit_generator.state, "batch": 3})
    store = CheckpointStore(tmp_path / "store")
    store.save("run", 1, {"data": Files(path, "numpy-rng")})
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"batch": 4}))
    (problem,) = NumpyRngBackend().check(tmp_path, context=CheckContext([path.name]))
    assert (problem.code, problem.file) == ("rng-state-invalid", "state.json")
    with pytest.raises(DamagedError, match="state_digest: the content is not what was written"):
        store.save("run", 2, {"data": Files(path, "numpy-rng")})
