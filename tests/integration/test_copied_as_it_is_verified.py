"""`restore` reads each file once: what is copied is what is verified, and nothing of a bad checkpoint gets the name."""

import os
import pickle
from pathlib import Path

import pytest

from ckptkit import CheckpointStore, ConflictError, DamagedError, Files
from ckptkit.digest import digest_bytes
from ckptkit.errors import UnsafeContentError
from ckptkit.manifest import reading
from ckptkit.storage.local import files

DATA = {"a": b"1" * 1000, "inner/b": b"2" * 70_000}


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    opened = CheckpointStore(tmp_path / "store", cache=False)
    for step in (1, 2):
        given = tmp_path / f"given{step}"
        for name, data in {**DATA, f"only{step}": b"3"}.items():
            (given / name).parent.mkdir(parents=True, exist_ok=True)
            (given / name).write_bytes(data)
        opened.save("r", step, {"data": Files(given, "files")})
    return opened


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def change(store: CheckpointStore, ref: str, name: str) -> None:
    path = store.locate(ref)[0].folder / "data" / name
    path.write_bytes(b"?" * path.stat().st_size)


def test_every_file_is_opened_once(store: CheckpointStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, read = files.opened, []

    def noting(path):  # type: ignore[no-untyped-def]
        read.append(Path(path).name)
        return opened(path)

    monkeypatch.setattr(files, "opened", noting)
    assert store.copy_out("r@2", tmp_path / "out").skipped == ()
    assert sorted(name for name in read if not name.endswith(".json")) == ["a", "b", "only2"]


def test_of_what_was_skipped_nothing_is_in_the_folder(store: CheckpointStore, tmp_path: Path) -> None:
    change(store, "r@2", "inner/b")
    chosen = store.copy_out("r", tmp_path / "out")
    assert chosen.at.step == 1
    assert names(tmp_path / "out") == ["data/a", "data/inner/b", "data/only1", "manifest.json"]


def test_what_is_damaged_leaves_nothing_and_no_folders_that_were_made_for_it(
    store: CheckpointStore, tmp_path: Path
) -> None:
    change(store, "r@1", "a")
    before = names(tmp_path)
    with pytest.raises(DamagedError, match="digest mismatch"):
        store.copy_out("r@1", tmp_path / "new" / "out")
    assert names(tmp_path) == before
    assert not (tmp_path / "new").exists()


def test_what_would_run_a_program_is_found_in_the_copy_and_not_put_in_place(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, ("true",)

    given = tmp_path / "model.pkl"
    given.write_bytes(pickle.dumps({"weights": 1}))
    store = CheckpointStore(tmp_path / "store", cache=False)
    saved = store.save("r", 1, {"data": Files(given, "files")})
    evil = pickle.dumps(Runs())
    given.write_bytes(evil)
    manifest = saved.path / "manifest.json"
    fields = reading.parse(manifest.read_bytes()).plain()
    (saved.path / "data" / "model.pkl").write_bytes(evil)
    file = fields["items"]["data"]["files"][0]
    file["digest"], file["size"] = digest_bytes(evil), len(evil)
    fields.pop("digest")
    # Sealed anew: only its content tells that it is not to be loaded.
    manifest.write_bytes(reading.sealed(fields, "blake3")[1])
    with pytest.raises(UnsafeContentError):
        store.copy_out("r@1", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_empty_is_left_alone(store: CheckpointStore, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_bytes(b"")
    with pytest.raises(ConflictError):
        store.copy_out("r", tmp_path / "out")
    assert names(tmp_path / "out") == ["mine"]
    assert list(tmp_path.glob("out.partial*")) == []


def test_without_digests_being_asked_for_a_copy_is_digested_all_the_same(
    store: CheckpointStore, tmp_path: Path
) -> None:
    change(store, "r@2", "a")
    with pytest.raises(DamagedError, match="changed while it was copied"):
        store.copy_out("r@2", tmp_path / "out", level="presence")
    assert not (tmp_path / "out").exists()
