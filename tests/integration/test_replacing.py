"""`replace=True` where something fails: the old checkpoint is at its place again, by itself."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ckptkit import CheckpointStore
from ckptkit.errors import StoreError
from ckptkit.storage.local import replacing
from ckptkit.store import Details

STEP = 3
pytestmark = pytest.mark.on_disk("calls of the system fail one after the other")


def draw(store: CheckpointStore) -> float:
    """Return the first number of the generator that is saved at the step; it must verify."""
    restored = store.restore(f"r@{STEP}", into={"rng": np.random.default_rng(0)})
    return float(restored.items["rng"].random())


def save(store: CheckpointStore, seed: int, **more: Any) -> None:
    store.save("r", STEP, {"rng": np.random.default_rng(seed)}, replace=True, **more)


OLD, NEW = (float(np.random.default_rng(seed).random()) for seed in (1, 2))


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    store = CheckpointStore(tmp_path)
    save(store, 1)
    assert draw(store) == OLD
    return store


@pytest.fixture(params=["exchanged in one step", "one after the other"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "one after the other":
        monkeypatch.setattr(replacing, "exchange", lambda one, other: False)
    return str(request.param)


def saved(store: CheckpointStore) -> str | None:
    """Save anew, and return why it failed, or None."""
    try:
        save(store, 2)
    except StoreError as error:
        return error.message
    return None


def failing(real: Callable[..., Any], number: int, code: int, calls: list[str]) -> Callable[..., Any]:
    def call(*args: Any, **more: Any) -> Any:
        calls.append(str(args[0]))
        if len(calls) == number:
            raise OSError(code, os.strerror(code), str(args[0]))
        return real(*args, **more)

    return call


@pytest.mark.parametrize("function", ["rename", "fsync"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EACCES])
def test_whichever_call_fails_the_old_one_is_back_or_the_new_one_is_there(
    function: str, code: int, way: str, store: CheckpointStore
) -> None:
    real, calls, failed = getattr(os, function), [""], 0
    for number in range(1, 100):
        calls.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, function, failing(real, number, code, calls))
            told = saved(store)
            if told is None:
                break
            failed += 1
            assert os.strerror(code) in told
        assert draw(store) == OLD, f"{function} number {number} of {way}"
    assert draw(store) == NEW
    assert failed == number - 1
    assert failed >= (1 if function == "rename" else 4)


def test_an_exchange_that_fails_changes_nothing(store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(one: Path, other: Path) -> bool:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(one), None, str(other))

    monkeypatch.setattr(replacing, "exchange", refuse)
    with pytest.raises(StoreError, match="Permission denied"):
        save(store, 2)
    assert draw(store) == OLD
    assert list((store.storage.run_folder("r") / ".ckptkit" / "staging").iterdir()) == []


def test_a_signal_between_the_two_steps_brings_the_old_one_back(
    way: str, store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminated(*args: Any, **more: Any) -> None:
        raise SystemExit(143)

    # the last step of each way: after an exchange the old one goes to the trash, else the new one comes to its place
    last = (replacing.trash, "remove") if way == "exchanged in one step" else (replacing.staging, "commit_folder")
    monkeypatch.setattr(*last, terminated)
    with pytest.raises(SystemExit):
        save(store, 2)
    assert draw(store) == OLD


def test_the_old_one_lies_in_the_trash_under_its_own_name(way: str, store: CheckpointStore, tmp_path: Path) -> None:
    save(store, 2)
    assert draw(store) == NEW
    (tmp_path / "r" / "step-00000003").rename(tmp_path / "elsewhere")
    assert store.undelete("r@3").folder.name == "step-00000003"
    assert draw(store) == OLD


def test_one_of_another_name_goes_only_when_the_new_one_is_there(store: CheckpointStore, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "rename", failing(os.rename, 1, errno.EIO, []))
        with pytest.raises(StoreError):
            save(store, 2, folder="checkpoint-3")
    assert draw(store) == OLD
    save(store, 2, folder="checkpoint-3")
    assert draw(store) == NEW
    assert [one.at.folder.name for one in store.list()] == ["checkpoint-3"]


def test_a_damaged_sidecar_that_makes_room_comes_back_too(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    folder = tmp_path / "r"
    folder.mkdir()
    rng = folder / "ep000003.json"
    rng.write_text('{"bit_generator": "PCG64", "state": {"state": 1, "inc": 1}, "has_uint32": 0, "uinteger": 0}')
    store.adopt_in_place("r", "ep000003", {"rng": rng}, Details(counters={"episode": 3}))
    whole = rng.read_text()
    rng.write_text(whole.replace('"inc": 1', '"inc": 3'))
    before = sorted(path.name for path in folder.iterdir() if path.is_file())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "link", failing(os.link, 1, errno.EIO, []))
        with pytest.raises(StoreError):
            store.adopt_in_place("r", "ep000003", {"rng": rng})
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == before
