"""The manifests of what a trainer wrote may lie in a store of their own: where its folder is read-only."""

import shutil
from pathlib import Path

import pytest
from adopted_runs import RUN, adopt, refs, tree, written

from ckptkit import CheckpointStore, Retain
from ckptkit.errors import BackendUnavailableError, ConflictError, RefusedError
from ckptkit.formats import strict_json

ONE = Retain(last=1)


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    """The folder of a training with two checkpoints."""
    for step in (100, 200):
        written(tmp_path / "training", step, run="out")
    return tmp_path / "training" / "out"


@pytest.fixture
def store(tmp_path: Path, payload: Path) -> CheckpointStore:
    """A store that holds their manifests."""
    store = CheckpointStore(tmp_path / "store")
    for step in (100, 200):
        adopt(store, step, folder=payload)
    return store


def test_nothing_lies_beside_and_all_is_found(store: CheckpointStore, payload: Path) -> None:
    assert {path.name for path in payload.iterdir()} == {"checkpoint-100", "checkpoint-200"}
    assert refs(store) == [f"{RUN}@100", f"{RUN}@200"]
    assert all(one.known is not None for one in store.list()) or store.verify().exit_code == 0
    assert store.verify().exit_code == 0
    assert store.choose(RUN).at.folder == payload.resolve()
    assert adopt(store, 200, folder=payload).how == "known"
    assert adopt(store, 200).how == "known"


def test_resuming_points_at_the_trainers_folder(store: CheckpointStore, payload: Path) -> None:
    command = store.resume_command(RUN, template=["train", "{path}", "{items.model}"])
    assert list(command.argv) == ["train", *[str(payload.resolve() / "checkpoint-200")] * 2]


def test_it_is_pinned_tagged_and_copied_out(store: CheckpointStore, payload: Path, tmp_path: Path) -> None:
    store.pin(f"{RUN}@100"), store.tag(f"{RUN}@100", "good")
    assert [(one.pinned, one.tags) for one in store.list()] == [(True, ("good",)), (False, ())]
    store.copy_out(f"{RUN}@100", tmp_path / "copy")
    assert (tmp_path / "copy" / "checkpoint-100" / "weights.bin").read_bytes() == b"d" * 5000


def test_what_is_pruned_stays_on_its_own_disk_and_comes_back(store: CheckpointStore, payload: Path) -> None:
    before = tree(payload)
    assert [at.ref for at in store.prune(store.plan_prune(ONE)).removed] == [f"{RUN}@100"]
    assert len(list((payload / ".ckptkit" / "trash").glob("*/checkpoint-100/weights.bin"))) == 1
    assert refs(store) == [f"{RUN}@200"]
    size = sum(path.stat().st_size for path in payload.glob(".ckptkit/trash/*/*/**/*") if path.is_file())
    assert [one.size for one in store.removed()] == [size]
    store.undelete(RUN)
    assert (tree(payload), refs(store)) == (before, [f"{RUN}@100", f"{RUN}@200"])
    assert list((payload / ".ckptkit" / "trash").iterdir()) == []


def test_trash_is_purged_on_both_disks(store: CheckpointStore, payload: Path) -> None:
    from datetime import timedelta

    store.prune(store.plan_prune(ONE))
    assert store.prune(store.plan_prune(ONE, grace=timedelta(0))).failures == []
    assert not list((payload / ".ckptkit" / "trash").iterdir())


def test_what_cannot_be_moved_stays_whole_and_the_reason_is_told(store: CheckpointStore, payload: Path) -> None:
    (payload / ".ckptkit").write_text("in the way, as a read-only disk is for all but root")
    done = store.prune(store.plan_prune(ONE))
    (failure,) = done.failures
    assert failure.startswith(f"{RUN}@100: cannot be removed: ")
    assert "\n" not in failure
    assert (refs(store), store.verify().exit_code) == ([f"{RUN}@100", f"{RUN}@200"], 0)


def test_a_copy_of_the_store_reads_and_moves_nothing(store: CheckpointStore, payload: Path, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    copy, before = CheckpointStore(tmp_path / "copy"), tree(payload)
    assert refs(copy) == [f"{RUN}@100", f"{RUN}@200"]
    report = copy.verify()
    assert (report.exit_code, {p.code for one in report.checkpoints for p in one.problems}) == (
        7,
        {"adopted-elsewhere"},
    )
    assert "was adopted in another store" in report.checkpoints[0].reason
    with pytest.raises(RefusedError, match="was adopted in another store"):
        _ = copy.locate(f"{RUN}@100")[0].folder
    assert copy.plan_prune(Retain(last="all")).plan.removed == ()
    assert adopt(copy, 200, folder=payload).how == "known"
    assert copy.verify().exit_code == 0
    assert tree(payload) == before


def test_a_note_that_was_changed_is_not_believed(store: CheckpointStore, tmp_path: Path) -> None:
    note = tmp_path / "store" / RUN / ".ckptkit" / "adopted-from.json"
    fields = strict_json.loads(note.read_bytes())
    note.write_bytes(strict_json.dumps({**fields, "folder": "/etc"}))
    assert not any(one.good for one in store.verify().checkpoints)
    assert refs(store) == [f"{RUN}@100", f"{RUN}@200"]


@pytest.mark.parametrize("empty", [False, True], ids=["gone", "empty"])
def test_a_disk_that_is_not_there_has_removed_nothing(store: CheckpointStore, payload: Path, empty: bool) -> None:
    payload.rename(payload.with_name("unmounted"))
    if empty:
        payload.mkdir()
    assert (refs(store), list(store.clear(RUN))) == ([f"{RUN}@100", f"{RUN}@200"], [])
    report = store.verify()
    assert (report.exit_code, {p.code for one in report.checkpoints for p in one.problems}) == (
        7,
        {"adopted-elsewhere"},
    )
    assert report.checkpoints[0].reason == (
        f"its files lie in {payload}, which is empty or not there: mount its disk, or put the folder back"
    )
    with pytest.raises(BackendUnavailableError, match="empty or not there"):
        store.resume_command(RUN)
    assert store.plan_prune(ONE).plan.removed == ()
    if empty:
        payload.rmdir()
    payload.with_name("unmounted").rename(payload)
    assert store.verify().exit_code == 0


def test_its_manifest_is_found_whether_its_files_are_there_or_not(store: CheckpointStore, payload: Path) -> None:
    (at,) = store.locate(f"{RUN}@200")
    assert at.manifest.is_file()
    assert (at.folder, store.describe(f"{RUN}@200").manifest.step) == (payload, 200)
    payload.rename(payload.with_name("unmounted"))
    assert at.manifest.is_file()
    assert at.storage.where(at) == str(at.manifest.parent)
    with pytest.raises(RefusedError, match="empty or not there"):
        _ = at.folder


def test_a_run_is_adopted_from_one_folder(store: CheckpointStore, tmp_path: Path) -> None:
    written(tmp_path / "other", 300, run="out")
    with pytest.raises(ConflictError, match="which lies in"):
        adopt(store, 300, folder=tmp_path / "other" / "out")


def test_a_checkpoint_of_ours_may_lie_in_the_run_too(store: CheckpointStore, tmp_path: Path) -> None:
    from ckptkit import Files

    (tmp_path / "note").write_text("x")
    store.save(RUN, 300, {"note": Files(tmp_path / "note", "files")})
    assert refs(store) == [f"{RUN}@100", f"{RUN}@200", f"{RUN}@300"]
    assert store.verify().exit_code == 0
