"""What did not change is stored once; each checkpoint is whole by itself: restored, verified, removed in any order."""

import itertools
import os
import random
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import safetensors.numpy
from ckptkit_safetensors import SafetensorsBackend
from command_line import inside

from ckptkit import CheckpointStore, ConflictError, Files, Retain, StoreReader, UsageError
from ckptkit.storage.local import recipe
from ckptkit.store import item_entries
from ckptkit.testing.memory_storage import MemoryStorage

How = Literal["file", "tensor"]
FILE = "weights/policy.safetensors"
RUN = "run"
ROWS = 3000


def weights(step: int, seed: int = 0) -> dict[str, Any]:
    """Nine tenths of it are the same at every step."""
    frozen = np.random.default_rng(seed).standard_normal((9, 40_000), dtype=np.float32)
    head = np.random.default_rng((seed, step)).standard_normal(40_000, dtype=np.float32)
    return {**{f"frozen.{i}": row for i, row in enumerate(frozen)}, "head": head}


def rows(folder: Path, step: int) -> Path:
    """A ring of rows as an archive, of which each step has 100 new ones, written over the oldest."""
    filled = np.random.default_rng(7).integers(0, 255, (ROWS, 256), dtype=np.uint8)
    for number in range(step * 100):
        filled[number % ROWS] = np.random.default_rng((7, number)).integers(0, 255, 256, dtype=np.uint8)
    path = folder / "rows.npz"
    np.savez(path, observations=filled, rewards=np.arange(ROWS) + step)
    return path


def save(root: Path, step: int, how: How | Literal["off"], run: str = RUN, **more: Any) -> None:
    CheckpointStore(root, dedup=how).save(run, step, {"weights": weights(step)}, **more)


def content(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: data for name, data in found.items() if name != "manifest.json"}


def restored(root: Path, ref: str, to: Path, **how: Any) -> dict[str, bytes]:
    StoreReader(root).copy_out(ref, to, **how)
    found = content(to)
    shutil.rmtree(to)
    return found


def stored(root: Path) -> int:
    """Return the bytes of payload on the disk."""
    found = {(s.st_dev, s.st_ino): s.st_size for p in root.rglob("*") if p.is_file() for s in [p.lstat()]}
    return sum(found.values())


def require_good(root: Path) -> None:
    for one in CheckpointStore(root, cache=False).verify().checkpoints:
        assert one.good, f"{one.at.ref}: {one.reason}"


@pytest.mark.parametrize("how", ["file", "tensor"])
def test_every_checkpoint_is_restored_byte_by_byte_as_without(how: How, tmp_path: Path) -> None:
    for step in range(4):
        save(tmp_path / "plain", step, "off")
        save(tmp_path / "shared", step, how)
    require_good(tmp_path / "shared")
    for step, link in itertools.product(range(4), (False, True)):
        plain = restored(tmp_path / "plain", f"{RUN}@{step}", tmp_path / "out")
        assert restored(tmp_path / "shared", f"{RUN}@{step}", tmp_path / "out", link=link) == plain


def test_a_frozen_backbone_costs_what_is_trained(tmp_path: Path) -> None:
    save(tmp_path, 0, "tensor")
    whole = stored(tmp_path)
    for step in range(1, 6):
        before = stored(tmp_path)
        save(tmp_path, step, "tensor")
        assert stored(tmp_path) - before < 0.11 * whole


def test_a_ring_of_rows_costs_the_rows_that_are_new(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store", dedup="tensor")
    sizes = []
    for step in range(33):  # it wraps at the thirtieth
        store.save(RUN, step, {"rows": Files(rows(tmp_path, step), backend="files")})
        sizes.append(stored(tmp_path / "store"))
    require_good(tmp_path / "store")
    new = np.diff(sizes)
    assert np.median(new) < 100 * 256 + 3 * (1 << 14) + ROWS * 8 + 8192
    assert sum(new) < 0.25 * 32 * sizes[0]  # a blob of which less than half is used any more is written anew
    assert (
        restored(tmp_path / "store", f"{RUN}@32", tmp_path / "out")["rows/rows.npz"] == rows(tmp_path, 32).read_bytes()
    )


def test_no_checkpoint_is_made_of_more_than_a_few_blobs(tmp_path: Path) -> None:
    tensors = {f"t{i}": np.random.default_rng(i).standard_normal(20_000) for i in range(24)}
    store = CheckpointStore(tmp_path, dedup="tensor")
    for step in range(24):
        tensors[f"t{step}"] = np.random.default_rng((step, 1)).standard_normal(20_000)
        store.save(RUN, step, {"weights": dict(tensors)})
    require_good(tmp_path)
    assert max(len(os.listdir(folder)) for folder in tmp_path.glob(f"{RUN}/*/{recipe.FOLDER}")) <= 17


def orders(count: int, seed: int) -> list[list[int]]:
    chance = random.Random(seed)
    return [chance.sample(range(6), 6) for _ in range(count)]


def prune_in(order: list[int], root: Path, plain: Path, out: Path) -> None:
    store = CheckpointStore(root, cache=False)
    left = set(range(6))
    for step in order[:-1]:
        left.remove(step)
        store.storage.remove(store.storage.at_step(RUN, step)[0])
        for leftover in store.storage.leftovers(RUN, -1):
            store.storage.purge(leftover)
        require_good(root)
    (last,) = left
    assert restored(root, f"{RUN}@{last}", out) == restored(plain, f"{RUN}@{last}", out)


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("six")
    for step in range(6):
        save(root / "plain", step, "off")
        save(root / "shared", step, "tensor")
    return root / "plain", root / "shared"


def linked_copy(source: Path, target: Path) -> Path:
    """Copy a store with its hard links as they are among themselves."""
    known: dict[int, Path] = {}
    for path in sorted(source.rglob("*")):
        to = target / path.relative_to(source)
        if path.is_dir():
            to.mkdir(parents=True)
        elif (first := known.setdefault(path.stat().st_ino, to)) != to:
            os.link(first, to)
        else:
            shutil.copy2(path, to)
    return target


@pytest.mark.parametrize("order", orders(6, seed=1), ids=str)
def test_pruned_in_any_order_the_others_stay_whole(order: list[int], six: tuple[Path, Path], tmp_path: Path) -> None:
    prune_in(order, linked_copy(six[1], tmp_path / "store"), six[0], tmp_path / "out")


@pytest.mark.matrix
def test_pruned_in_two_hundred_orders_the_others_stay_whole(six: tuple[Path, Path], tmp_path: Path) -> None:
    for order in orders(200, seed=2):
        prune_in(order, linked_copy(six[1], tmp_path / "store"), six[0], tmp_path / "out")
        shutil.rmtree(tmp_path / "store")


def test_damage_of_what_is_shared_is_told_of_each_that_has_it(tmp_path: Path) -> None:
    for step in range(3):
        save(tmp_path, step, "tensor")
    first = tmp_path / RUN / "step-00000000/weights/policy.safetensors"
    with first.open("r+b") as stream:
        stream.seek(first.stat().st_size // 3)
        stream.write(b"\xff\x00\xff\x00")
    bad = [one.at.step for one in CheckpointStore(tmp_path, cache=False).verify().checkpoints if not one.good]
    assert bad == [0, 1, 2]


def test_nothing_is_built_on_what_is_damaged_already(tmp_path: Path) -> None:
    save(tmp_path, 0, "tensor")
    first = tmp_path / RUN / "step-00000000/weights/policy.safetensors"
    data = bytearray(first.read_bytes())
    data[len(data) // 3] ^= 1
    first.write_bytes(data)
    save(tmp_path, 1, "tensor")
    good = {one.at.step: one.good for one in CheckpointStore(tmp_path, cache=False).verify().checkpoints}
    assert good == {0: False, 1: True}


@pytest.mark.parametrize("harm", ["cut", "gone", "recipe"])
def test_a_blob_that_is_cut_or_gone_is_damage(harm: str, tmp_path: Path) -> None:
    save(tmp_path, 0, "tensor"), save(tmp_path, 1, "tensor")
    parts = tmp_path / RUN / "step-00000001" / recipe.FOLDER
    blob = min((p for p in parts.iterdir() if p.name != "recipe.json"), key=lambda p: p.stat().st_size)
    if harm == "cut":
        os.truncate(blob, 100)
    elif harm == "gone":
        blob.unlink()
    else:
        (parts / "recipe.json").write_bytes(b"{}")
    good = {one.at.step: one.good for one in CheckpointStore(tmp_path, cache=False).verify().checkpoints}
    assert good == {0: True, 1: False}


def test_what_lies_beside_the_blobs_is_damage(tmp_path: Path) -> None:
    save(tmp_path, 0, "tensor"), save(tmp_path, 1, "tensor")
    (tmp_path / RUN / "step-00000001" / recipe.FOLDER / "another").write_bytes(b"x")
    (problem,) = CheckpointStore(tmp_path, cache=False).verify(f"{RUN}@1").checkpoints[0].problems
    assert problem.code == "file-extra"


def test_a_copy_of_the_store_is_whole(tmp_path: Path) -> None:
    for step in range(3):
        save(tmp_path / "store", step, "tensor")
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    shutil.rmtree(tmp_path / "store")
    require_good(tmp_path / "copy")
    save(tmp_path / "copy", 3, "tensor")
    require_good(tmp_path / "copy")


def test_a_run_that_was_resumed_as_another_shares_with_it(tmp_path: Path) -> None:
    save(tmp_path, 0, "tensor")
    before = stored(tmp_path)
    save(tmp_path, 1, "tensor", run="other", parent=f"{RUN}@0")
    assert stored(tmp_path) - before < 0.15 * before
    require_good(tmp_path)


def test_what_was_verified_stays_known_when_others_share_it_or_go(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, dedup="tensor")
    for step in range(4):
        store.save(RUN, step, {"weights": weights(step)})
    assert {one.content for one in store.list()} == {"verified"}
    store.prune(store.plan_prune(Retain(last=2), run=RUN))
    assert {one.content for one in store.list()} == {"verified"}


def test_a_prune_tells_what_it_frees_and_not_what_others_share(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, dedup="tensor")
    for step in range(3):
        store.save(RUN, step, {"weights": weights(step)})
    planned = store.plan_prune(Retain(last=1), run=RUN)
    assert planned.frees() < 0.25 * planned.plan.removed_bytes
    before = stored(tmp_path)
    store.prune(planned)
    for leftover in store.storage.leftovers(RUN, -1):
        store.storage.purge(leftover)
    freed = before - stored(tmp_path)
    assert abs(freed - planned.frees()) < 20_000 or freed > 0


def test_a_listing_tells_what_is_really_its_own(tmp_path: Path) -> None:
    for step in range(3):
        save(tmp_path, step, "tensor")
    rows = [line.split("\t") for line in inside("list", store=tmp_path).stdout.splitlines()]
    assert rows[0][-1] == "OWN SIZE"
    sizes, own = ([int(row[place]) for row in rows[1:]] for place in (4, -1))
    assert all(one < 0.11 * size for one, size in zip(own, sizes, strict=True))
    assert "its own, the rest shared" in inside("show", f"{RUN}@2", "--format", "table", store=tmp_path).stdout


def test_tensors_of_another_name_dtype_or_shape_are_stored_anew(tmp_path: Path) -> None:
    big = np.random.default_rng(0).standard_normal(50_000)
    store = CheckpointStore(tmp_path / "s", dedup="tensor")
    kinds = [
        {"a": big, "empty": np.zeros((0, 3)), "scalar": np.full((), 3.0)},
        {"b": big, "empty": np.zeros((0, 3)), "scalar": np.ones(())},
        {"b": big.astype(np.float32), "c": big.reshape(100, 500)},
        {"b": big, "c": big.reshape(500, 100)},
    ]
    for step, tensors in enumerate(kinds):
        store.save(RUN, step, {"weights": tensors})
    require_good(tmp_path / "s")
    for step, tensors in enumerate(kinds):
        found = restored(tmp_path / "s", f"{RUN}@{step}", tmp_path / "out")["weights/policy.safetensors"]
        back = safetensors.numpy.load(found)
        assert all(np.array_equal(back[name], value) for name, value in tensors.items())


def test_a_save_may_change_its_mind_from_one_to_the_next(tmp_path: Path) -> None:
    for step, how in enumerate(["tensor", "off", "file", "tensor", "tensor", "off"]):
        save(tmp_path, step, how)  # type: ignore[arg-type]
    require_good(tmp_path)


def test_a_store_that_cannot_share_says_so() -> None:
    store = CheckpointStore(MemoryStorage(), dedup="file")
    with pytest.raises(UsageError, match="cannot share"):
        store.save(RUN, 1, {"weights": weights(1)})


def test_a_word_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="dedup 'all' is not known"):
        CheckpointStore(tmp_path, dedup="all")  # type: ignore[arg-type]


def test_what_could_not_be_shared_after_all_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 0, "tensor")
    monkeypatch.setattr("ckptkit.storage.local.sharing.part", lambda *arguments: False)
    save(tmp_path, 1, "tensor")
    require_good(tmp_path)
    assert not list(tmp_path.glob(f"{RUN}/*/{recipe.FOLDER}"))


@pytest.mark.parametrize("wait", [True, False])
def test_the_checkpoint_before_may_go_while_the_next_is_saved(wait: bool, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store", dedup="tensor")
    store.save(RUN, 0, {"weights": weights(0)})

    class Leaving(dict[str, Any]):
        """Lets the checkpoint before be purged when its own weights are being looked at."""

        def items(self) -> Any:
            for at in store.storage.at_step(RUN, 0):
                store.storage.remove(at)
                for leftover in store.storage.leftovers(RUN, -1):
                    if "trash" in leftover.key:
                        store.storage.purge(leftover)
            return super().items()

    saved = store.save(RUN, 1, {"weights": Leaving(weights(1))}, wait=wait)
    if not wait:
        saved.result()  # type: ignore[union-attr]
    require_good(tmp_path / "store")
    save(tmp_path / "plain", 1, "off")
    file = "weights/policy.safetensors"
    found = restored(tmp_path / "store", f"{RUN}@1", tmp_path / "out")[file]
    assert found == restored(tmp_path / "plain", f"{RUN}@1", tmp_path / "out")[file]


def test_an_equal_file_stays_whole(tmp_path: Path) -> None:
    for step in range(2):
        CheckpointStore(tmp_path, dedup="tensor").save(RUN, step, {"weights": weights(0)})
    files = [tmp_path / RUN / f"step-0000000{step}/weights/policy.safetensors" for step in range(2)]
    assert os.path.samefile(*files)


def test_saved_behind_it_is_shared_as_well(tmp_path: Path) -> None:
    store, plain = CheckpointStore(tmp_path / "s", dedup="tensor"), CheckpointStore(tmp_path / "p")
    for step in range(3):
        store.save(RUN, step, {"weights": weights(step)}, wait=False).result()
        plain.save(RUN, step, {"weights": weights(step)})
    require_good(tmp_path / "s")
    assert stored(tmp_path / "s") < 0.5 * stored(tmp_path / "p")
    assert restored(tmp_path / "s", f"{RUN}@2", tmp_path / "o") == restored(tmp_path / "p", f"{RUN}@2", tmp_path / "o")


def test_of_a_file_that_a_trainer_wrote_only_the_trained_tensor_is_new(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store", dedup="tensor")
    for step in range(3):
        safetensors.numpy.save_file(weights(step), tmp_path / "model.safetensors")
        store.save(RUN, step, {"model": Files(tmp_path / "model.safetensors", backend="files")})
    require_good(tmp_path / "store")
    assert all(one.own_size < 170_000 for one in store.list() if one.at.step)
    last = restored(tmp_path / "store", f"{RUN}@2", tmp_path / "out")["model/model.safetensors"]
    assert last == (tmp_path / "model.safetensors").read_bytes()


def purge_all(store: CheckpointStore) -> None:
    for at in list(store.storage.scan(RUN)):
        store.storage.remove(at)
    for leftover in store.storage.leftovers(RUN, -1):
        if "trash" in leftover.key:
            store.storage.purge(leftover)


def save_another(store: CheckpointStore) -> None:
    save(store.storage.root, 7, "off")  # type: ignore[attr-defined]


def replace_it(store: CheckpointStore) -> None:
    other = CheckpointStore(store.storage.root)  # type: ignore[attr-defined]
    other.save(RUN, 0, {"weights": weights(5, seed=9)}, replace=True)


@pytest.mark.parametrize("same", [False, True], ids=["trained", "the same"])
@pytest.mark.parametrize("meanwhile", [purge_all, save_another, replace_it])
def test_whatever_becomes_of_the_one_before_the_next_is_what_was_saved(
    meanwhile: Any, same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It happens when the new files are written, with holes, and before anything is shared."""
    store = CheckpointStore(tmp_path / "store", dedup="tensor")
    store.save(RUN, 0, {"weights": weights(0)})
    check, done = item_entries.require_consistent, []

    def then(manifest: Any) -> None:
        check(manifest)
        if not done:
            done.append(True)
            meanwhile(store)

    monkeypatch.setattr(item_entries, "require_consistent", then)
    store.save(RUN, 9, {"weights": weights(0 if same else 1)})
    assert done
    require_good(tmp_path / "store")
    found = safetensors.numpy.load(restored(tmp_path / "store", f"{RUN}@9", tmp_path / "out")[FILE])
    assert all(np.array_equal(found[name], value) for name, value in weights(0 if same else 1).items())


@pytest.mark.parametrize("change", ["moved", "changed"])
def test_a_backend_that_touches_again_what_it_wrote_is_refused_before_zeros_are_saved(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = SafetensorsBackend.save

    def save_and_touch(self: Any, item: Any, directory: Path, *, context: Any) -> Any:
        said = written(self, item, directory, context=context)
        if change == "moved":
            (directory / "policy.safetensors").rename(directory / "other.safetensors")
        else:
            os.utime(directory / "policy.safetensors", ns=(0, 0))
        return said

    save(tmp_path, 0, "tensor")
    monkeypatch.setattr(SafetensorsBackend, "save", save_and_touch)
    with pytest.raises(ConflictError, match="changed or moved after it was written"):
        save(tmp_path, 1, "tensor")
    assert [one.at.step for one in CheckpointStore(tmp_path).list()] == [0]
