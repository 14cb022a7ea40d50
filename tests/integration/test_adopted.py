"""What a trainer wrote becomes a checkpoint where it lies, and follows what its trainer does to it."""

import os
import socket
import threading
from pathlib import Path

import pytest
from adopted_runs import RUN, adopt, adopted, refs, tree, written

from ckptkit import CheckpointStore
from ckptkit.errors import (
    ConflictError,
    DamagedError,
    InconsistentSetError,
    NotFoundError,
    UnsafeContentError,
    UsageError,
)
from ckptkit.formats import strict_json
from ckptkit.store import Wrote


def test_nothing_is_written_into_the_trainers_folder(tmp_path: Path) -> None:
    folder = written(tmp_path, 500)
    before = tree(tmp_path / RUN)
    done = adopt(CheckpointStore(tmp_path), 500)
    assert (done.how, done.at.ref, done.manifest.trainer) == ("new", f"{RUN}@500", "hf_trainer")
    assert tree(tmp_path / RUN) == before
    beside = {path.name for path in folder.parent.iterdir()}
    assert beside == {"checkpoint-500", "checkpoint-500@500.manifest.json", ".ckptkit"}


def test_what_was_adopted_is_listed_verified_and_chosen(tmp_path: Path) -> None:
    store = adopted(tmp_path, 100, 200)
    report = store.verify()
    assert [(one.at.ref, one.good) for one in report.checkpoints] == [(f"{RUN}@100", True), (f"{RUN}@200", True)]
    assert store.choose(RUN).at.ref == f"{RUN}@200"
    (tmp_path / RUN / "checkpoint-200" / "weights.bin").write_bytes(b"\0" * 5000)
    assert store.choose(RUN).at.ref == f"{RUN}@100"


def test_a_backend_knows_the_files_by_their_own_names(tmp_path: Path) -> None:
    from ckptkit.catalog import item_files

    store = adopted(tmp_path, 500)
    at = store.locate(f"{RUN}@500")[0]
    item = store.manifest(at).items["model"]
    assert item_files.names(at, "model", item) == ["deep/more.json", "trainer_state.json", "weights.bin"]
    with item_files.fetched(at, "model", item) as folder:
        assert folder == tmp_path / RUN / "checkpoint-500"


def test_files_beside_each_other_are_one_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / RUN
    folder.mkdir()
    names = ("agent_9_steps.bin", "agent_vecnormalize_9_steps.bin")
    for name in names:
        (folder / name).write_bytes(name.encode())
    store = CheckpointStore(tmp_path)
    done = store.adopt(RUN, names[0], 9, {"agent": Wrote(names[0], names, backend="files")})
    assert [file.path for file in done.manifest.items["agent"].files] == list(names)
    assert store.verify().exit_code == 0


def test_adopting_again_reads_nothing(tmp_path: Path) -> None:
    adopted(tmp_path, 500)
    manifest = tmp_path / RUN / "checkpoint-500@500.manifest.json"
    before = manifest.stat()
    weights = tmp_path / RUN / "checkpoint-500" / "weights.bin"
    os.utime(weights, ns=(1, weights.stat().st_mtime_ns))
    for cache in (True, False):
        assert adopt(CheckpointStore(tmp_path, cache=cache), 500).how == "known"
    assert manifest.stat() == before


def test_what_was_touched_and_is_the_same_is_known(tmp_path: Path) -> None:
    store = adopted(tmp_path, 500)
    os.utime(tmp_path / RUN / "checkpoint-500" / "weights.bin")
    assert adopt(store, 500).how == "known"


@pytest.mark.parametrize("change", ["more.bin", "weights.bin"])
def test_a_file_that_the_trainer_adds_or_writes_again_is_adopted_again(tmp_path: Path, change: str) -> None:
    store = adopted(tmp_path, 500)
    (tmp_path / RUN / "checkpoint-500" / change).write_bytes(b"another" * 500)
    assert not store.verify().checkpoints[0].good
    assert adopt(store, 500).how == "again"
    assert store.verify().exit_code == 0
    assert refs(store) == [f"{RUN}@500"]


def test_a_file_that_moves_on_takes_its_earlier_manifest_away(tmp_path: Path) -> None:
    store, last = CheckpointStore(tmp_path), tmp_path / RUN / "last.bin"
    last.parent.mkdir()
    for step in (48, 96):
        last.write_bytes(b"x" * step)
        done = store.adopt(RUN, "last.bin", step, {"model": Wrote("last.bin", backend="files")})
    assert list(done.cleared) == [
        f"{RUN}@48: last.bin: its trainer has moved it on to step 96; its manifest was cleared away"
    ]
    assert refs(store) == [f"{RUN}@96"]


def test_what_its_trainer_removed_is_neither_listed_nor_damaged(tmp_path: Path) -> None:
    import shutil

    store = adopted(tmp_path, 100, 200)
    at = store.locate(f"{RUN}@100")[0]
    shutil.rmtree(tmp_path / RUN / "checkpoint-100")
    assert refs(store) == [f"{RUN}@200"]
    assert (at.identity, store.verify().exit_code) == (None, 0)
    assert list(store.clear(RUN)) == [
        f"{RUN}@100: checkpoint-100: its trainer has removed it; its manifest was cleared away"
    ]
    assert not list((tmp_path / RUN).glob("*@100.*"))


def test_a_step_that_another_has_is_refused_by_its_name(tmp_path: Path) -> None:
    store = adopted(tmp_path, 500)
    (tmp_path / RUN / "last.bin").write_bytes(b"copy")
    with pytest.raises(ConflictError, match=r"last\.bin: run1@500 is checkpoint-500 already"):
        store.adopt(RUN, "last.bin", 500, {"model": Wrote("last.bin", backend="files")})
    (tmp_path / RUN / "checkpoint-500" / "weights.bin").write_bytes(b"broken")
    assert store.adopt(RUN, "last.bin", 500, {"model": Wrote("last.bin", backend="files")}).how == "new"
    assert store.choose(f"{RUN}@500").at.name == "last.bin@500"


@pytest.mark.parametrize("odd", ["link", "socket"])
def test_what_is_no_file_is_refused_in_one_line(tmp_path: Path, odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path, 500)
    if odd == "link":
        (folder / odd).symlink_to("/etc/passwd")
    else:
        monkeypatch.chdir(folder)  # a socket's path must be short
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(odd)
    with pytest.raises(UnsafeContentError, match=rf"^checkpoint-500/{odd}: is (a link|not a regular file)$"):
        adopt(CheckpointStore(tmp_path), 500)
    assert refs(CheckpointStore(tmp_path)) == []


def test_a_checkpoint_that_is_being_written_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path, 500)
    done = threading.Event()

    def trainer() -> None:
        with (folder / "weights.bin").open("ab", buffering=0) as stream:
            while not done.is_set():
                stream.write(b"x" * 4096)

    thread = threading.Thread(target=trainer)
    thread.start()
    try:
        with pytest.raises(ConflictError, match=r"is being written|changed while it was read"):
            adopt(CheckpointStore(tmp_path), 500)
    finally:
        done.set()
        thread.join()
    assert adopt(CheckpointStore(tmp_path), 500).how == "new"


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path, 500)
    (folder / "model.safetensors").write_bytes(b"\x40\0\0\0\0\0\0\0{")
    with pytest.raises(DamagedError):
        CheckpointStore(tmp_path).adopt(RUN, "checkpoint-500", 500, {"model": Wrote("checkpoint-500")})


def test_files_of_another_step_are_refused(tmp_path: Path) -> None:
    written(tmp_path, 500)
    with pytest.raises(InconsistentSetError):
        CheckpointStore(tmp_path).adopt(RUN, "checkpoint-500", 400, {"model": Wrote("checkpoint-500", backend="files")})


@pytest.mark.parametrize("main", ["../other", "checkpoint-1/deep", ".ckptkit", "no", "a\nb"])
def test_a_name_that_is_none_right_there_is_refused(tmp_path: Path, main: str) -> None:
    written(tmp_path, 1)
    with pytest.raises((UsageError, UnsafeContentError, NotFoundError)):
        CheckpointStore(tmp_path).adopt(RUN, main, 1, {"model": Wrote(main, backend="files")})
    assert not list(tmp_path.rglob("*manifest.json"))


def test_a_checkpoint_of_ours_is_not_adopted(tmp_path: Path) -> None:
    folder = written(tmp_path, 5)
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(UsageError, match="ckptkit needs for itself"):
        adopt(CheckpointStore(tmp_path), 5)


def test_a_manifest_that_lists_a_checkpoint_of_ours_is_unsafe(tmp_path: Path) -> None:
    store = adopted(tmp_path, 5)
    manifest = tmp_path / RUN / "checkpoint-5@5.manifest.json"
    fields = strict_json.loads(manifest.read_bytes())
    from ckptkit.manifest.reading import sealed

    fields.pop("digest")
    fields["items"]["model"]["path"] = None
    fields["items"]["model"]["files"][0]["path"] = "step-00000007/manifest.json"
    manifest.write_bytes(sealed(fields, "blake3")[1])
    assert "path-unsafe" in {problem.code for problem in store.verify().checkpoints[0].problems}


def test_a_folder_of_a_trainer_is_no_run(tmp_path: Path) -> None:
    store = adopted(tmp_path, 500)
    inner = tmp_path / RUN / "checkpoint-500" / "step-00000007"
    inner.mkdir()
    (inner / "manifest.json").write_text("{}")
    assert refs(store) == [f"{RUN}@500"]


def test_it_can_be_copied_out_and_is_listed_there(tmp_path: Path) -> None:
    store = adopted(tmp_path / "store", 500)
    store.copy_out(f"{RUN}@500", tmp_path / "out")
    assert tree(tmp_path / "out").keys() == tree(tmp_path / "store" / RUN).keys()
    assert [one.at.ref for one in CheckpointStore(tmp_path).list("out")] == ["out@500"]


def test_flat_files_whose_name_would_read_as_an_adopted_one_are_refused(tmp_path: Path) -> None:
    (tmp_path / RUN).mkdir()
    (tmp_path / RUN / "agent@50.zip").write_bytes(b"x")
    with pytest.raises(UsageError, match="what `adopt` writes"):
        CheckpointStore(tmp_path).adopt_in_place(RUN, "agent@50", {"agent": tmp_path / RUN / "agent@50.zip"})
    assert refs(CheckpointStore(tmp_path)) == []
