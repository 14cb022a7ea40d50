"""Whole checkpoints of trainers go to the trash and come back; what no manifest lists is never touched."""

import os
from pathlib import Path

import pytest
from adopted_runs import RUN, adopt, adopted, tree, written
from command_line import inside

from ckptkit import CheckpointStore, Retain
from ckptkit.retention import RetentionPolicy
from ckptkit.store import Pruned, Wrote

ONE = Retain(last=1)


def prune(store: CheckpointStore, policy: RetentionPolicy = ONE) -> Pruned:
    return store.prune(store.plan_prune(policy))


def kept(store: CheckpointStore, policy: RetentionPolicy = ONE) -> dict[str, tuple[str, ...]]:
    """Return the reasons of what a plan keeps."""
    plan = store.plan_prune(policy).plan
    return {entry.candidate.name: entry.reasons for entry in plan.entries if entry.action == "keep"}


def test_a_folder_goes_as_a_whole_and_comes_back_byte_for_byte(tmp_path: Path) -> None:
    store = adopted(tmp_path, 100, 200, 300)
    (tmp_path / RUN / "checkpoint-100" / "empty").mkdir()
    before = tree(tmp_path / RUN)
    assert [at.ref for at in prune(store).removed] == [f"{RUN}@100", f"{RUN}@200"]
    assert {path.name for path in (tmp_path / RUN).glob("checkpoint*")} == {
        "checkpoint-300", "checkpoint-300@300.manifest.json"
    }  # fmt: skip
    store.undelete(f"{RUN}@100"), store.undelete(RUN)
    assert tree(tmp_path / RUN) == before
    assert store.verify().exit_code == 0


def test_it_does_not_come_back_over_what_its_trainer_wrote_since(tmp_path: Path) -> None:
    store = adopted(tmp_path, 100, 200)
    prune(store)
    written(tmp_path, 100)
    before = tree(tmp_path / RUN)
    from ckptkit.errors import ConflictError

    with pytest.raises(ConflictError, match="checkpoint-100: exists already"):
        store.undelete(f"{RUN}@100")
    assert tree(tmp_path / RUN) == before


def test_a_file_that_no_manifest_lists_keeps_its_folder_whole(tmp_path: Path) -> None:
    adopted(tmp_path, 100, 200)
    mine = tmp_path / RUN / "checkpoint-100" / "deep" / "thesis.txt"
    mine.write_text("mine")
    before = tree(tmp_path / RUN)
    done = inside("prune", "--keep-last", "1", "--apply", store=tmp_path)
    assert (done.returncode, "no manifest lists checkpoint-100/deep/thesis.txt" in done.stderr) == (3, True)
    assert tree(tmp_path / RUN) == before


def test_of_a_folder_of_ours_the_same_is_true(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("x")
    store = CheckpointStore(tmp_path / "store")
    from ckptkit import Files

    for step in (1, 2):
        store.save(RUN, step, {"note": Files(tmp_path / "note", "files")})
    mine = tmp_path / "store" / RUN / "step-00000001" / "mine.txt"
    mine.write_text("mine")
    done = prune(store)
    assert list(done.failures) == [f"{RUN}@1: is not removed: no manifest lists mine.txt"]
    assert mine.read_text() == "mine"


def test_what_was_written_since_it_was_adopted_is_not_pruned(tmp_path: Path) -> None:
    store = adopted(tmp_path, 100, 200)
    weights = tmp_path / RUN / "checkpoint-100" / "weights.bin"
    planned_before = store.plan_prune(RetentionPolicy(keep_last=1))
    weights.write_bytes(b"a newer training")
    os.utime(weights, ns=(weights.stat().st_mtime_ns + 10**9,) * 2)
    told = "checkpoint-100/weights.bin was written after it was adopted"
    assert list(store.prune(planned_before).failures) == [f"{RUN}@100: is not removed: {told}"]
    planned = store.plan_prune(RetentionPolicy(keep_last=1))
    assert [entry.reasons for entry in planned.plan.entries if entry.candidate.step == 100] == [
        (f"{told}; `ckptkit adopt PATH` judges it anew",)
    ]
    done = store.prune(planned)
    assert (list(done.removed), list(done.failures)) == ([], [])
    assert weights.read_bytes() == b"a newer training"


def test_what_lies_in_a_folder_without_a_manifest_stays(tmp_path: Path) -> None:
    store = adopted(tmp_path, 100)
    half = tmp_path / RUN / "step-00000050" / "weights.bin"
    half.parent.mkdir()
    half.write_bytes(b"who knows")
    assert kept(store)[f"{RUN}@50"] == ("no manifest lists its files",)
    assert (list(prune(store).removed), half.read_bytes()) == ([], b"who knows")
    assert [one.state for one in store.list()] == ["incomplete", "listed"]


def test_a_file_that_two_list_stays_while_one_needs_it(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    (tmp_path / RUN).mkdir()
    for name in ("a-1.bin", "a-2.bin", "normalizer.bin"):
        (tmp_path / RUN / name).write_bytes(name.encode())
    for step in (1, 2):
        items = {"agent": Wrote(f"a-{step}.bin", (f"a-{step}.bin", "normalizer.bin"), backend="files")}
        store.adopt(RUN, f"a-{step}.bin", step, items)
    assert [at.ref for at in prune(store).removed] == [f"{RUN}@1"]
    assert {path.name for path in (tmp_path / RUN).glob("*.bin")} == {"a-2.bin", "normalizer.bin"}
    assert store.verify().exit_code == 0


def test_prune_clears_away_what_a_trainer_left_void(tmp_path: Path) -> None:
    import shutil

    store = adopted(tmp_path, 100, 200)
    shutil.rmtree(tmp_path / RUN / "checkpoint-100")
    done = prune(store)
    assert [str(one) for one in done.purged] == [str(tmp_path / RUN / "checkpoint-100@100.manifest.json")]
    assert not list((tmp_path / RUN).glob("*@100*"))


def test_the_best_that_a_kept_state_names_is_kept_and_no_older_one(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    for step, best in ((100, 100), (200, 200), (300, 300), (400, 200), (500, 200)):
        written(tmp_path, step, best=best)
        adopt(store, step)
    assert kept(store) == {
        f"{RUN}@200": (f"the best one, as {RUN}@500 says",),
        f"{RUN}@500": ("last 1", "newest that verifies"),
    }


def pointed(root: Path, name: str, target: str | None, text: str = "") -> CheckpointStore:
    store = adopted(root, 100, 200)
    pointer = root / RUN / name
    pointer.symlink_to(target) if target is not None else pointer.write_text(text)
    return store


@pytest.mark.parametrize("target", ["checkpoint-100", "./checkpoint-100/deep", "{folder}/checkpoint-100", "chained"])
def test_what_a_link_points_at_stays(tmp_path: Path, target: str) -> None:
    store = pointed(tmp_path, "last", target.format(folder=tmp_path / RUN))
    (tmp_path / RUN / "chained").symlink_to("checkpoint-100")
    assert "last points at it" in kept(store)[f"{RUN}@100"]
    assert prune(store).removed == []
    assert (tmp_path / RUN / "last").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [("latest", "checkpoint-100\n"), ("checkpoint", 'model_checkpoint_path: "/elsewhere/checkpoint-100"\n')],
)
def test_what_a_file_names_stays(tmp_path: Path, name: str, text: str) -> None:
    store = pointed(tmp_path, name, None, text)
    assert kept(store)[f"{RUN}@100"] == (f"{name} points at it",)


@pytest.mark.parametrize("target", ["gone", "last", "other"])
def test_a_pointer_that_leads_nowhere_is_told_and_not_followed(tmp_path: Path, target: str) -> None:
    store = pointed(tmp_path, "last", target)
    if target == "other":
        (tmp_path / RUN / "other").symlink_to("last")
    notes = store.plan_prune(ONE).plan.notes
    assert f"{RUN}: last points nowhere: it is not followed" in notes
    assert [at.ref for at in prune(store).removed] == [f"{RUN}@100"]


def test_a_pointer_with_a_gigabyte_in_it_is_read_in_part(tmp_path: Path) -> None:
    store = pointed(tmp_path, "latest", None, "checkpoint-100")
    with (tmp_path / RUN / "latest").open("r+b") as stream:
        stream.truncate(1 << 30)
    assert [at.ref for at in prune(store).removed] == [f"{RUN}@100"]


def test_a_link_that_spells_the_way_otherwise_keeps_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "scratch").symlink_to(tmp_path)
    store = pointed(tmp_path, "last", f"{tmp_path}/scratch/{RUN}/checkpoint-100")
    assert kept(store)[f"{RUN}@100"] == ("last points at it",)


def test_a_link_through_a_link_to_the_folder_itself_keeps_what_it_leads_to(tmp_path: Path) -> None:
    store = pointed(tmp_path, "last", "current/checkpoint-100")
    (tmp_path / RUN / "current").symlink_to(".")
    assert kept(store)[f"{RUN}@100"] == ("last points at it",)


def test_a_link_in_a_folder_above_keeps_what_it_leads_to(tmp_path: Path) -> None:
    store = adopted(tmp_path, 100, 200)
    (tmp_path / "latest").symlink_to(f"{RUN}/checkpoint-100")
    assert kept(store)[f"{RUN}@100"] == ("../latest points at it",)


@pytest.mark.parametrize("mine", [b'{"app":"webpack"}', bytes(range(256))])
def test_a_strangers_file_that_is_called_like_a_manifest_stays(tmp_path: Path, mine: bytes) -> None:
    store = adopted(tmp_path, 100, 200)
    strange = tmp_path / RUN / "release@15.manifest.json"
    strange.write_bytes(mine)
    assert list(store.clear(RUN)) == []
    assert list(prune(store).purged) == []
    assert strange.read_bytes() == mine
