"""The backend ``files``: the last resort, never detected, and still not blind."""

import pickle
import subprocess
import zipfile
from pathlib import Path

import pytest
from ckptkit_files import Written

from ckptkit import CheckpointStore
from ckptkit.backend import Captured
from ckptkit.errors import BackendError, DamagedError, UnknownBackendError, UnsafeContentError
from ckptkit.store import Files

RUN = "files/run1"


def written(folder: Path, name: str, data: bytes) -> Written:
    (folder / name).write_bytes(data)
    return Written({name: folder / name}, Captured(), step=3)


def test_files_of_an_unknown_kind_are_not_adopted_by_themselves(tmp_path: Path) -> None:
    (tmp_path / "state.xyz").write_bytes(b"anything")
    with pytest.raises(UnknownBackendError):
        CheckpointStore(tmp_path / "store").save(RUN, 3, {"state": tmp_path / "state.xyz"})


def test_files_that_are_named_so_are_kept_byte_for_byte_and_graded_as_unknown(tmp_path: Path) -> None:
    (tmp_path / "state" / "deep").mkdir(parents=True)
    (tmp_path / "state" / "deep" / "state.xyz").write_bytes(b"anything")
    store = CheckpointStore(tmp_path / "store")
    saved = store.save(RUN, 3, {"state": Files(tmp_path / "state", "files")})
    assert (saved.path / "state" / "deep" / "state.xyz").read_bytes() == b"anything"
    assert saved.manifest.grade == "partial"


def test_what_a_program_wrote_carries_its_own_grade_and_comes_back_as_a_folder(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    assert store.save(RUN, 3, {"state": written(tmp_path, "state.xyz", b"anything")}).manifest.grade == "complete"
    restored = store.restore(RUN, {"state": None})
    assert restored is not None
    assert (restored.items["state"] / "state.xyz").read_bytes() == b"anything"


def test_what_a_program_writes_over_after_the_call_is_saved_as_it_was(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    handle = store.save(RUN, 3, {"state": written(tmp_path, "state.xyz", b"anything")}, wait=False)
    (tmp_path / "state.xyz").write_bytes(b"another thing")
    assert (handle.result().path / "state" / "state.xyz").read_bytes() == b"anything"


def test_an_object_to_load_into_is_refused(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    store.save(RUN, 3, {"state": written(tmp_path, "state.xyz", b"anything")})
    with pytest.raises(BackendError, match="cannot be put into a dict"):
        store.restore(RUN, {"state": {}})


@pytest.mark.parametrize("name", ["a.ckpt", "a.pt", "a.npz", "a.npy", "a.json", "a.pkl"])
def test_a_damaged_file_of_a_known_kind_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DamagedError, match=name):
        CheckpointStore(tmp_path / "store").save(RUN, 3, {"state": written(tmp_path, name, b"{[garbage")})


@pytest.mark.parametrize("name", ["a.pkl", "a.ckpt", "no_suffix"])
def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, name: str) -> None:
    item = written(tmp_path, name, pickle.dumps(subprocess.run))
    with pytest.raises(UnsafeContentError):
        CheckpointStore(tmp_path / "store").save(RUN, 3, {"state": item})


def test_a_log_with_nan_is_kept(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    store.save(RUN, 3, {"state": written(tmp_path, "log.json", b'{"loss": NaN}')})
    assert store.verify(RUN).exit_code == 0


def test_another_step_than_the_checkpoint_s_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="step"):
        CheckpointStore(tmp_path / "store").save(RUN, 4, {"state": written(tmp_path, "state.xyz", b"anything")})


def test_a_zip_of_sb3_without_the_buffer_that_its_predecessor_has_is_refused(tmp_path: Path) -> None:
    for name in ("rl_50_steps.zip", "rl_100_steps.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("data", "{}")
    (tmp_path / "rl_replay_buffer_50_steps.pkl").write_bytes(pickle.dumps([1]))
    with pytest.raises(DamagedError, match="no replay_buffer beside it"):
        CheckpointStore(tmp_path / "store").save("r", 100, {"a": Files(tmp_path / "rl_100_steps.zip", "files")})
