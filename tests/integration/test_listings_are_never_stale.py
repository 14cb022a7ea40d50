"""A listing with the index is what it is without: in every state of a store, and after every change to it."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from adopted_runs import adopted
from command_line import PROGRAM, inside
from many_checkpoints import MANY, RUN, SETTLED, fill, listed, manifest, opened, replaced, steps, told, write

from ckptkit import CheckpointStore
from ckptkit.catalog import shown
from ckptkit.catalog.cache_folder import INDEX
from ckptkit.catalog.index import Index
from ckptkit.catalog.table import Table
from ckptkit.retention import RetentionPolicy
from ckptkit.storage import mounts
from ckptkit.storage.local import stamps
from ckptkit.store import Files, StoreReader
from ckptkit.store.keeper import StoreKeeper

LAST = Path(RUN, f"step-{MANY:08d}")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CKPTKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def settled_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Stores that nobody has changed for a while: waiting for each of them would take long."""
    folder = tmp_path_factory.mktemp("stores")
    made = [fill(folder / f"store{number}") for number in range(len(CHANGES) + 16)]
    time.sleep(SETTLED)
    return iter(made)


@pytest.fixture
def store(settled_stores: Iterator[Path]) -> Path:
    """A store of its own, of which the index knows everything."""
    root = next(settled_stores)
    assert steps(root) == list(range(1, MANY + 1))
    assert list(StoreReader(root).unlisted()) == []
    return root


def same(root: Path) -> None:
    """Fail unless listings tell with the index what they tell without, also when they are asked once more."""
    truth = told(root, index=False)
    assert told(root, index=True) == truth
    assert told(root, index=True) == truth


def test_what_did_not_change_is_neither_read_nor_searched_again(store: Path) -> None:
    with opened() as names:
        assert len(listed(store)) == MANY
        assert list(StoreReader(store).unlisted()) == []
    assert not [name for name in names if name.endswith("manifest.json") or f"{RUN}/step-" in name]
    assert str(store / RUN) not in names


def test_of_many_only_the_last_are_looked_at(store: Path) -> None:
    with opened() as names:
        assert steps(store, limit=3) == [MANY - 2, MANY - 1, MANY]
    assert len([name for name in names if name.endswith("manifest.json")]) == 3


def test_a_run_that_grew_costs_what_is_new(store: Path) -> None:
    write(store, RUN, MANY + 1)
    with opened() as names:
        assert steps(store) == list(range(1, MANY + 2))
    assert [name for name in names if name.endswith("manifest.json")] == [
        str(store / RUN / f"step-{MANY + 1:08d}" / "manifest.json")
    ]


def _add(root: Path) -> None:
    write(root, RUN, MANY + 1)
    write(root, RUN, 10_000)
    write(root, "new/run", 3)


def _remove_by_hand(root: Path) -> None:
    shutil.rmtree(root / LAST)
    shutil.rmtree(root / RUN / "step-00000007")


def _edit(root: Path) -> None:
    for step in (7, MANY):
        file = root / RUN / f"step-{step:08d}" / "manifest.json"
        replaced(file, manifest(RUN, step, metrics={"loss": 0.7}))


def _replace(root: Path) -> None:
    for step in (8, MANY):
        folder = root / RUN / f"step-{step:08d}"
        (folder / "new").write_bytes(manifest(RUN, step, metrics={"loss": 0.9}))
        os.replace(folder / "new", folder / "manifest.json")


def _take_manifests(root: Path) -> None:
    for step in (7, MANY - 1, MANY):
        (root / RUN / f"step-{step:08d}" / "manifest.json").unlink()


def _take_manifest_of_what_looks_like_a_trainers(root: Path) -> None:
    for step in (7, MANY):
        folder = root / RUN / f"step-{step:08d}"
        (folder / "manifest.json").unlink()
        (folder / ".metadata").write_bytes(b"")


def _damage(root: Path) -> None:
    for step in (9, MANY):
        (root / RUN / f"step-{step:08d}" / "manifest.json").write_bytes(b"{")


def _link(root: Path) -> None:
    file = root / LAST / "manifest.json"
    os.rename(file, root / "elsewhere.json")
    file.symlink_to(root / "elsewhere.json")


def _rename(root: Path) -> None:
    os.rename(root / RUN, root / "a" / "renamed")


def _swap(root: Path) -> None:
    fill(root, "a/other")
    os.rename(root / RUN, root / "a" / "aside")
    os.rename(root / "a" / "other", root / RUN)


def _step_renamed(root: Path) -> None:
    os.rename(root / LAST, root / RUN / "step-00000999")


def _trash(root: Path) -> None:
    shutil.rmtree(root / "a")


def _tag(root: Path) -> None:
    store = CheckpointStore(root)
    for step in (5, MANY):
        store.tag(f"{RUN}@{step}", "good")
    store.pin(f"{RUN}@6")


def _damage_refs(root: Path) -> None:
    _tag(root)
    (root / RUN / ".ckptkit" / "refs.json").write_text("{}")


def _show(root: Path) -> None:
    for at in (found for found in StoreReader(root).storage.scan(RUN) if found.step in (5, MANY)):
        digest = StoreReader(root).manifest(at).digest
        assert shown.note(at, digest, shown.Shown("rehearsed", steps=4))


def _nest(root: Path) -> None:
    write(root, f"{RUN}/inner", 4)
    write(root, f"{RUN}/inner", 5)


def _trainer(root: Path) -> None:
    for step in (100, 200):
        folder = root / RUN / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "trainer_state.json").write_text("{}")
        (folder / "optimizer.pt").write_bytes(b"")
        (folder / "model.safetensors").write_bytes(b"")


def _manifest_comes_late(root: Path) -> None:
    (root / RUN / "other-5").mkdir()
    time.sleep(SETTLED)
    steps(root)
    (root / RUN / "other-5" / "manifest.json").write_bytes(manifest(RUN, 5))


def _links(root: Path) -> None:
    (root / RUN / "step-00000500").symlink_to(root / LAST)
    (root / RUN / "ep7.manifest.json").symlink_to(root / LAST / "manifest.json")


def _sidecars(root: Path) -> None:
    for step in range(300, 370):
        (root / RUN / f"ep{step:06}.zip").write_bytes(b"")
        (root / RUN / f"ep{step:06}.manifest.json").write_bytes(manifest(RUN, step))


CHANGES: list[Callable[[Path], None]] = [
    _add,
    _remove_by_hand,
    _edit,
    _replace,
    _take_manifests,
    _take_manifest_of_what_looks_like_a_trainers,
    _damage,
    _link,
    _rename,
    _swap,
    _step_renamed,
    _trash,
    _tag,
    _damage_refs,
    _show,
    _nest,
    _trainer,
    _manifest_comes_late,
    _links,
    _sidecars,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_after_a_change_it_is_what_it_is_without_the_index(store: Path, change: Callable[[Path], None]) -> None:
    change(store)
    same(store)


def test_a_change_in_the_moment_after_the_listing_is_seen(store: Path) -> None:
    write(store, RUN, MANY + 1)
    for step in range(MANY + 2, MANY + 12):
        steps(store)
        write(store, RUN, step)
        assert steps(store, limit=1) == [step]


def test_a_save_and_a_prune_are_seen_at_once(store: Path, tmp_path: Path) -> None:
    (tmp_path / "source.txt").write_text("weights")
    CheckpointStore(store).save(RUN, 500, {"model": Files(tmp_path / "source.txt", "files")})
    assert steps(store, limit=1) == [500]
    keeper = StoreKeeper(store)
    keeper.prune(keeper.plan_prune(RetentionPolicy(keep_last=1)))
    assert steps(store) == [500]
    same(store)


def test_verified_is_told_until_a_file_changes(store: Path, tmp_path: Path) -> None:
    (tmp_path / "source.txt").write_text("weights")
    saved = CheckpointStore(store).save(RUN, 500, {"model": Files(tmp_path / "source.txt", "files")})
    time.sleep(SETTLED)
    assert [one.good for one in StoreReader(store).verify(f"{RUN}@500").checkpoints] == [True]
    assert listed(store)[-1].content == listed(store)[-1].content == "verified"
    replaced(saved.path / "model" / "source.txt", b"weightz")
    assert listed(store)[-1].content == "unverified"


@pytest.fixture(scope="module")
def every_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with everything in it that can be in one."""
    root = fill(tmp_path_factory.mktemp("states") / "store")
    adopted(root, 500, 700, run="trainer")
    for change in (_add, _tag, _show, _take_manifests, _damage, _nest, _trainer, _links, _sidecars):
        change(root)
    other = manifest(RUN, 20).replace(b'"schema_version": "1.1"', b'"schema_version": "9.0"')
    for step, data in ((20, other), (21, manifest(RUN, 22)), (22, manifest("another/name", 22)), (23, b"")):
        (root / RUN / f"step-{step:08d}" / "manifest.json").write_bytes(data)
    for name in ("two\nlines", os.fsdecode(b"not-utf8-\xff")):
        for step in range(1, MANY):
            shutil.copytree(root / RUN / "step-00000040", root / name / f"step-{step:08d}")
    write(root, "new/run", 2)
    keeper = StoreKeeper(root, cache=False)
    keeper.prune(keeper.plan_prune(RetentionPolicy(keep_last=1), run="new/run", level="presence"))
    shutil.copytree(root / RUN, root / "damaged/refs", symlinks=True)
    (root / "damaged/refs/.ckptkit/refs.json").write_text("{}")
    time.sleep(SETTLED)
    return root


def test_in_every_state_it_is_what_it_is_without_the_index(every_state: Path) -> None:
    same(every_state)


@pytest.mark.parametrize("format_", ["table", "tsv", "json", "ndjson", "ref", "path"])
def test_every_output_is_the_same_to_the_byte(every_state: Path, format_: str) -> None:
    words = ("list", "--format", format_)
    truth = inside(*words, store=every_state, env={"CKPTKIT_NO_CACHE": "1"})
    assert len(truth.stdout.splitlines()) > 3 * MANY
    for _ in range(2):
        done = inside(*words, store=every_state)
        assert (done.returncode, done.stdout, done.stderr) == (truth.returncode, truth.stdout, truth.stderr)


def test_a_copy_and_a_moved_store_are_other_stores(store: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    shutil.rmtree(copy / LAST)
    same(copy)
    moved = store.with_name(f"{store.name}-moved")
    os.rename(store, moved)
    os.rename(copy, store)
    same(store)
    same(moved)


def test_several_processes_at_once_all_tell_the_truth(store: Path, cache: Path) -> None:
    shutil.rmtree(cache)
    command = [*PROGRAM, "--store", str(store), "list", "--format", "ref"]
    several = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    truth = "".join(f"{RUN}@{step}\n" for step in range(1, MANY + 1))
    assert [process.communicate(timeout=60)[0] for process in several] == [truth] * 4
    same(store)


def test_an_index_that_is_damaged_is_begun_anew(store: Path, cache: Path) -> None:
    for damage in (_cut, _garbage, _lie):
        damage(cache / INDEX)
        same(store)
    with opened() as names:
        steps(store)
    assert not [name for name in names if name.endswith("manifest.json")]


def _cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _garbage(file: Path) -> None:
    file.write_bytes(b"garbage" * 1000)


def _lie(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as base:
        base.execute("UPDATE folders SET text = replace(text, 'step-00000007', 'step-00000777')")
        base.execute("UPDATE summaries SET text = replace(text, '0.5', '0.4')")
        base.commit()


def test_an_index_that_somebody_keeps_locked_or_may_not_be_written_does_no_harm(store: Path, cache: Path) -> None:
    write(store, RUN, MANY + 1)
    with contextlib.closing(sqlite3.connect(cache / INDEX, isolation_level=None)) as base:
        base.execute("BEGIN EXCLUSIVE")
        assert steps(store, limit=1) == [MANY + 1]
        assert len(steps(store)) == MANY + 1
    (cache / INDEX).chmod(0o666)  # others might say what is there
    assert len(steps(store)) == MANY + 1
    (cache / INDEX).unlink()
    cache.rmdir()
    cache.write_text("not a folder")
    assert len(steps(store)) == MANY + 1


def test_summaries_of_other_code_are_not_believed(store: Path, cache: Path) -> None:
    index = Index(StoreReader(store).storage.same_store, cache / INDEX)
    kept = index.summaries(RUN)
    assert len(kept) == MANY
    lines = Table(cache / INDEX, "summaries")
    identity = StoreReader(store).storage.same_store
    lines.put(identity, [(RUN, "", lines.of_run(identity, RUN)[""].replace('["', '["other code', 1))])
    assert index.summaries(RUN) == {}
    same(store)


def test_without_a_cache_nothing_is_kept(store: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(cache)
    assert len(list(StoreReader(store, cache=False).list())) == MANY
    monkeypatch.setenv("CKPTKIT_NO_CACHE", "1")
    assert len(steps(store)) == MANY
    assert not cache.exists()


def test_a_clock_that_jumps_makes_no_listing_wrong(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time()
    for number, jump in enumerate((-3600, 3600, -86_400)):
        monkeypatch.setattr(time, "time", lambda jump=jump: real + jump)
        monkeypatch.setattr(time, "time_ns", lambda jump=jump: int((real + jump) * 1e9))
        write(store, RUN, 1000 + number)
        replaced(store / LAST / "manifest.json", manifest(RUN, MANY, metrics={"loss": (0.1, 0.2, 0.3)[number]}))
        same(store)


def test_where_the_file_system_tells_no_change_everything_is_looked_at(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mounts").write_text(f"/dev/sdb1 {store} vfat rw 0 0\n")
    monkeypatch.setattr(mounts, "TABLE", tmp_path / "mounts")
    stamps.keeps_time_of_change.cache_clear()
    with opened() as names:
        assert len(steps(store)) == MANY
    stamps.keeps_time_of_change.cache_clear()
    assert len([name for name in names if name.endswith("manifest.json")]) == MANY


def test_a_run_that_is_gone_leaves_nothing_in_the_index(store: Path, cache: Path) -> None:
    shutil.rmtree(store / "a")
    assert steps(store) == []
    index = Index(StoreReader(store).storage.same_store, cache / INDEX)
    assert (list(index.runs), index.summaries(RUN)) == ([], {})
