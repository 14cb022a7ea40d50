"""Trust: a pickle that one wrote oneself is saved, told everywhere, and covers nothing else."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from command_line import inside

from ckptkit import CheckpointStore
from ckptkit.errors import DamagedError, NotFoundError, UnsafeContentError, UsageError
from ckptkit.formats.kinds import look_into_file
from ckptkit.store import Files

RUN = "scaler/run1"


class Calls:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch canary",)


@pytest.fixture
def scaler(tmp_path: Path) -> Path:
    """A harmless joblib file: arrays lie between its opcodes, and its names are joblib's."""
    joblib.dump({"mean": np.arange(3.0)}, tmp_path / "scaler.joblib")
    return tmp_path / "scaler.joblib"


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "store")


def codes(store: CheckpointStore, **how: Any) -> list[tuple[str, str]]:
    (checkpoint,) = store.verify(RUN, **how).checkpoints
    return [(p.code, p.severity) for p in checkpoint.problems]


def test_a_joblib_file_is_refused_and_the_hint_names_trust(store: CheckpointStore, scaler: Path) -> None:
    with pytest.raises(UnsafeContentError, match="joblib") as caught:
        store.save(RUN, 1, {"scaler": Files(scaler, "files")})
    assert "--trust FILE" in caught.value.hint


def test_a_trusted_file_is_saved_noted_and_told(store: CheckpointStore, scaler: Path) -> None:
    saved = store.save(RUN, 1, {"scaler": Files(scaler, "files")}, trust=[scaler])
    (entry,) = json.loads((saved.path / "manifest.json").read_text())["items"]["scaler"]["files"]
    assert entry["trusted"] is True
    report = store.verify(RUN)
    assert report.exit_code == 0
    (problem,) = report.checkpoints[0].problems
    assert problem.message.startswith("trusted by whoever saved it: would call joblib.numpy_pickle.NumpyArrayWrapper")


def test_a_strict_verification_takes_nobodys_word(store: CheckpointStore, scaler: Path) -> None:
    store.save(RUN, 1, {"scaler": Files(scaler, "files")}, trust=[scaler])
    assert store.verify(RUN, strict=True).exit_code == 5


@pytest.mark.parametrize("name", ["model.pkl", "agent.bin", "plain"])
def test_trust_covers_a_pickle_whatever_its_name(name: str, store: CheckpointStore, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(Calls()))
    store.save(RUN, 1, {"own": Files(tmp_path / name, "files")}, trust=[tmp_path / name])
    assert codes(store) == [("file-trusted", "warning")]


def test_trust_covers_no_other_file_of_the_item(store: CheckpointStore, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "mine.pkl").write_bytes(pickle.dumps(Calls()))
    (folder / "other.pkl").write_bytes(pickle.dumps([Calls()]))
    with pytest.raises(UnsafeContentError, match=r"other\.pkl"):
        store.save(RUN, 1, {"own": Files(folder, "files")}, trust=[folder / "mine.pkl"])


def test_trust_covers_no_other_content_of_the_file(store: CheckpointStore, scaler: Path) -> None:
    saved = store.save(RUN, 1, {"scaler": Files(scaler, "files")}, trust=[scaler])
    path = saved.path / "scaler" / "scaler.joblib"
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(bytes(data))
    assert codes(store) == [("digest-mismatch", "error")]


def test_a_file_that_is_trusted_and_not_saved_is_an_error(store: CheckpointStore, scaler: Path, tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_bytes(b"plain")
    with pytest.raises(UsageError, match="not among the files"):
        store.save(RUN, 1, {"own": Files(tmp_path / "plain.txt", "files")}, trust=[scaler])
    with pytest.raises(NotFoundError, match="gone"):
        store.save(RUN, 1, {"own": Files(tmp_path / "plain.txt", "files")}, trust=[tmp_path / "gone"])
    assert list(store.list()) == []


def test_trust_covers_no_damage_of_the_structure(store: CheckpointStore, tmp_path: Path) -> None:
    (tmp_path / "weights.npy").write_bytes(b"\x93NUMPY\x01\x00half")
    with pytest.raises(Exception, match=r"weights\.npy"):
        store.save(RUN, 1, {"own": Files(tmp_path / "weights.npy", "files")}, trust=[tmp_path / "weights.npy"])


def test_a_restore_gives_the_folder_and_loads_nothing(store: CheckpointStore, tmp_path: Path) -> None:
    (tmp_path / "own.pkl").write_bytes(pickle.dumps(Calls()))
    store.save(RUN, 1, {"own": Files(tmp_path / "own.pkl", "files")}, trust=[tmp_path / "own.pkl"])
    restored = store.restore(RUN, {"own": None})
    assert (restored.items["own"] / "own.pkl").read_bytes() == pickle.dumps(Calls())


def test_the_level_resume_does_not_load_what_is_only_trusted(store: CheckpointStore, scaler: Path) -> None:
    store.save(RUN, 1, {"scaler": Files(scaler, "files")}, trust=[scaler])
    (checkpoint,) = store.verify(RUN, level="resume").checkpoints
    assert checkpoint.proofs["scaler"].reason == "not loaded: a file of it is only trusted by whoever saved it"


def test_the_command_line_says_what_is_trusted(scaler: Path, tmp_path: Path) -> None:
    place = tmp_path / "store"
    refused = inside("save", RUN, "--step", "1", f"scaler:files={scaler}", store=place)
    assert (refused.returncode, "--trust FILE" in refused.stderr) == (5, True)
    saved = inside("save", RUN, "--step", "1", f"scaler:files={scaler}", "--trust", scaler, store=place)
    assert saved.returncode == 0
    assert "scaler/scaler.joblib is trusted by whoever saved it" in saved.stderr
    shown = inside("show", f"{RUN}@1", store=place)
    assert "trusted by whoever saved it" in shown.stdout
    verified = inside("verify", store=place)
    assert (verified.returncode, "file-trusted" in verified.stdout) == (0, True)
    assert inside("verify", "--strict", store=place).returncode == 5


def test_the_name_that_no_honest_file_needs_is_said_first(tmp_path: Path) -> None:
    joblib.dump({"scale": np.zeros(3), "then": Calls()}, tmp_path / "scaler.joblib")
    problems = look_into_file(tmp_path / "scaler.joblib", file="scaler.joblib")
    assert "system" in problems[0].message
    assert any("NumpyArrayWrapper" in problem.message for problem in problems[1:])


@pytest.mark.parametrize("size", [60, 150])
def test_a_file_that_was_cut_is_damage_whoever_trusts_it(size: int, scaler: Path, store: CheckpointStore) -> None:
    scaler.write_bytes(scaler.read_bytes()[:size])
    with pytest.raises(DamagedError):
        store.save(RUN, 1, {"scaler": Files(scaler, "files")}, trust=[scaler])


@pytest.mark.parametrize("method", ["zlib", "gzip", "bz2", "lzma", "xz"])
def test_a_packed_file_that_was_cut_is_damage_too(method: str, tmp_path: Path, store: CheckpointStore) -> None:
    path = tmp_path / "scaler.joblib"
    joblib.dump({"mean": np.random.default_rng(0).random(300)}, path, compress=(method, 3))
    store.save(RUN, 1, {"scaler": Files(path, "files")}, trust=[path])
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(DamagedError):
        store.save(RUN, 2, {"scaler": Files(path, "files")}, trust=[path])


def test_a_cut_array_of_objects_is_damage_too(tmp_path: Path, store: CheckpointStore) -> None:
    path = tmp_path / "scaler.joblib"
    joblib.dump({"m": np.array([{"a": i} for i in range(300)], dtype=object)}, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DamagedError):
        store.save(RUN, 1, {"scaler": Files(path, "files")}, trust=[path])
