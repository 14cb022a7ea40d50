"""Damaged and hostile files: found by ``check`` without running anything, refused by ``load``."""

import base64
import json
import os
import pickle
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sb3_agents import AGENTS, BACKEND, check, load, names, save
from stable_baselines3 import PPO

from ckptkit.backend import CheckContext, SavedItem
from ckptkit.errors import BackendError, CkptkitError, DamagedError, UnsafeContentError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.path}'",)


def payload(path: Path) -> dict[str, str]:
    return {":type:": "<class 'float'>", ":serialized:": base64.b64encode(pickle.dumps(Bomb(path))).decode()}


def rewrite(path: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    """Write a zip anew with some members changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def with_data(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    def edit(members: dict[str, bytes]) -> None:
        data = json.loads(members["data"])
        change(data)
        members["data"] = json.dumps(data).encode()

    rewrite(path, edit)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, SavedItem]:
    agent = AGENTS["sac"](0)
    agent.learn(30)
    folder = tmp_path / "item"
    folder.mkdir()
    return folder, save(agent, folder)


def refused(saved: tuple[Path, SavedItem], error: type[CkptkitError]) -> None:
    """Assert that a load raises the error and changes nothing."""
    target = AGENTS["sac"](3)
    target.learn(30)
    before = BACKEND.digests(target)
    with pytest.raises(error):
        load(*saved, target)
    assert BACKEND.digests(target) == before


def unsafe(saved: tuple[Path, SavedItem]) -> list[Any]:
    return [p for p in check(*saved) if p.severity == "unsafe"]


def test_fresh_files_are_clean(saved: tuple[Path, SavedItem]) -> None:
    assert check(*saved) == []


@pytest.mark.parametrize("key", ["lr_schedule", "an_extra_key"])
def test_code_behind_any_key_of_the_data_is_found_and_not_run(
    key: str, saved: tuple[Path, SavedItem], tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    with_data(saved[0] / "model.zip", lambda data: data.update({key: payload(mark)}))
    assert any(key in p.message for p in unsafe(saved))
    refused(saved, UnsafeContentError)
    assert not mark.exists()


def test_code_in_a_nested_torch_file_is_found_and_not_run(saved: tuple[Path, SavedItem], tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    torch.save(Bomb(mark), tmp_path / "evil.pth")
    evil = (tmp_path / "evil.pth").read_bytes()
    rewrite(saved[0] / "model.zip", lambda members: members.update({"policy.pth": evil}))
    assert unsafe(saved)
    refused(saved, UnsafeContentError)
    assert not mark.exists()


def test_a_second_member_of_the_same_name_is_found(saved: tuple[Path, SavedItem]) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(saved[0] / "model.zip", "a") as archive:
        archive.writestr("data", "{}")
    assert check(*saved)
    refused(saved, CkptkitError)


def test_a_key_given_twice_is_found(saved: tuple[Path, SavedItem]) -> None:
    def twice(members: dict[str, bytes]) -> None:
        members["data"] = b'{"n_envs": 7, ' + members["data"].lstrip()[1:]

    rewrite(saved[0] / "model.zip", twice)
    assert any("twice" in p.message for p in check(*saved))


def test_a_serialized_value_that_is_not_base64_is_found(saved: tuple[Path, SavedItem]) -> None:
    with_data(saved[0] / "model.zip", lambda data: data.update({"lr_schedule": {":serialized:": "%%%"}}))
    assert any("base64" in p.message for p in check(*saved))


def test_every_truncation_is_found(saved: tuple[Path, SavedItem]) -> None:
    for name in names(saved[0]):
        path = saved[0] / name
        data = path.read_bytes()
        for length in (0, 1, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:length])
            assert check(*saved), f"{name} cut to {length} bytes"
        path.write_bytes(data)


def test_every_missing_file_is_found(saved: tuple[Path, SavedItem]) -> None:
    for name in names(saved[0]):
        data = (saved[0] / name).read_bytes()
        (saved[0] / name).unlink()
        assert [p.file for p in check(*saved)] == [name]
        (saved[0] / name).write_bytes(data)


def test_flipped_bits_in_members_are_found(saved: tuple[Path, SavedItem]) -> None:
    dice = random.Random(0)
    for name in ("model.zip", "replay_buffer.npz"):
        path = saved[0] / name
        data = bytearray(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            spans = [(i.header_offset + 30 + len(i.filename), i.file_size) for i in archive.infolist() if i.file_size]
        for _ in range(20):
            start, size = dice.choice(spans)
            place = start + size // 2 + dice.randrange(max(1, size // 2))
            data[place] ^= 4
            path.write_bytes(data)
            assert check(*saved), f"{name} byte {place}"
            data[place] ^= 4
        path.write_bytes(data)


def test_python_objects_in_an_npz_are_refused(saved: tuple[Path, SavedItem]) -> None:
    with (saved[0] / "replay_buffer.npz").open("wb") as stream:
        np.savez(stream, observations=np.array([{}], dtype=object))
    assert check(*saved)
    refused(saved, CkptkitError)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("rng", "numpy", "state", "state", "pos"), 100_000),
        (("rng", "numpy", "state", "state", "key"), [0] * 624),
        (("rng", "python", "words"), [1, 2, 3]),
        (("rng", "torch"), ["zz"]),
        (("rng", "torch"), ["00" * 5056]),
        (("spaces", "items", 0, "generators", 0, "state", "state", "inc"), 2),
    ],
)
def test_a_generator_state_that_would_crash_numpy_is_refused(
    place: tuple[Any, ...], value: Any, saved: tuple[Path, SavedItem]
) -> None:
    path = saved[0] / "state.json"
    state = json.loads(path.read_bytes())
    inner = state["sections"]
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path.write_bytes(json.dumps(state).encode())
    refused(saved, DamagedError)


def test_state_json_of_a_later_format_is_refused(saved: tuple[Path, SavedItem]) -> None:
    path = saved[0] / "state.json"
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":2'))
    assert any("format" in p.message for p in check(*saved))
    refused(saved, DamagedError)


def test_a_function_of_the_training_script_is_not_pickled_into_the_zip(tmp_path: Path) -> None:
    agent = PPO("MlpPolicy", "CartPole-v1", learning_rate=lambda p: 0.5 * p, n_steps=16, batch_size=16)
    item = save(agent, tmp_path)
    assert check(tmp_path, item) == []
    assert "learning_rate" in item.hazards[0]
    assert callable(agent.learning_rate)
    assert PPO.load(tmp_path / "model.zip").learning_rate == 0.5
    with pytest.raises(BackendError, match="learning_rate"):
        load(tmp_path, item, PPO("MlpPolicy", "CartPole-v1").env)


def test_checking_imports_no_framework(saved: tuple[Path, SavedItem]) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom ckptkit_sb3 import Sb3Backend, CheckpointBoundary, checkpointable\n"
        "from ckptkit.backend import CheckContext\nb, d = Sb3Backend(), Path(sys.argv[1])\n"
        "files = sorted(p.name for p in d.iterdir())\nassert not b.can_save(object())\n"
        "assert not list(b.check(d, context=CheckContext(files)))\n"
        "assert b.recognise(d / 'model.zip') and b.describe(d, context=CheckContext(files))\n"
        "heavy = {'torch', 'numpy', 'stable_baselines3', 'gymnasium', 'cloudpickle'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(saved[0])], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_an_item_without_its_zip_says_so(tmp_path: Path) -> None:
    problems = list(BACKEND.check(tmp_path, context=CheckContext([])))
    assert [p.code for p in problems] == ["file-missing"]
