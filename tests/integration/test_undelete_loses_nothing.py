"""Whatever became of an entry in the trash, taking it back loses nothing of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from adopted_runs import RUN, Tree, adopt, adopted, tree, written
from command_line import inside

from ckptkit import CheckpointStore, Retain
from ckptkit.errors import DamagedError
from ckptkit.formats import strict_json

Made = Callable[[Path], tuple[CheckpointStore, Path]]


def beside(root: Path) -> tuple[CheckpointStore, Path]:
    return adopted(root, 100, 200), root / RUN


def in_a_store_of_their_own(root: Path) -> tuple[CheckpointStore, Path]:
    store = CheckpointStore(root / "store")
    for step in (100, 200):
        written(root / "training", step)
        adopt(store, step, folder=root / "training" / RUN)
    return store, root / "training" / RUN


def sidecars(root: Path) -> tuple[CheckpointStore, Path]:
    from safetensors.numpy import save_file

    store = CheckpointStore(root)
    (root / RUN).mkdir()
    for step in (100, 200):
        save_file({"w": np.full(4, float(step))}, root / RUN / f"ep{step}.safetensors")
        store.adopt_in_place(RUN, f"ep{step}", {"weights": root / RUN / f"ep{step}.safetensors"})
    return store, root / RUN


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def emptied(data: bytes) -> bytes:
    return b""


def newer(data: bytes) -> bytes:
    return data.replace(b'"schema_version": "1.', b'"schema_version": "9.')


def with_a_new_field(data: bytes) -> bytes:
    fields = strict_json.loads(data, max_bytes=1 << 20)
    fields |= {"surprise": 1}
    return strict_json.dumps(fields)


def everything(root: Path) -> Tree:
    return {path.relative_to(root).as_posix(): (0, path.read_bytes()) for path in root.rglob("*") if path.is_file()}


def pruned(store: CheckpointStore) -> Path:
    """Return the entry of step 100 in the trash."""
    assert [at.ref for at in store.prune(store.plan_prune(Retain(last=1))).removed] == [f"{RUN}@100"]
    (entry,) = (store.storage.run_folder(RUN) / ".ckptkit" / "trash").iterdir()
    return entry


@pytest.mark.parametrize("spoilt", [cut, emptied, newer, with_a_new_field])
@pytest.mark.parametrize("made", [beside, in_a_store_of_their_own, sidecars])
def test_an_entry_with_an_unreadable_manifest_stays_as_it_is(
    tmp_path: Path, made: Made, spoilt: Callable[[bytes], bytes]
) -> None:
    store, run = made(tmp_path)
    entry = pruned(store)
    (manifest,) = entry.glob("*.manifest.json")
    manifest.write_bytes(spoilt(manifest.read_bytes()))
    before = everything(tmp_path)
    with pytest.raises(DamagedError, match=r"nothing was moved: .* still in .*trash") as caught:
        store.undelete(f"{RUN}@100")
    assert str(manifest) in str(caught.value)
    assert str(run.resolve()) in (caught.value.hint or "")
    assert {name: it for name, it in everything(tmp_path).items() if "lock" not in name} == {
        name: it for name, it in before.items() if "lock" not in name
    }


def test_the_hint_can_be_followed(tmp_path: Path) -> None:
    store, run = beside(tmp_path)
    before = tree(run)
    entry = pruned(store)
    next(entry.glob("*.manifest.json")).write_bytes(b"{")
    done = inside("undelete", f"{RUN}@100", store=tmp_path)
    assert (done.returncode, f"checkpoint-100 is still in {entry}" in done.stderr) == (1, True)
    (entry / "checkpoint-100").rename(run / "checkpoint-100")
    adopt(store, 100)
    assert (tree(run), store.verify().exit_code) == (before, 0)


@pytest.mark.parametrize("made", [beside, in_a_store_of_their_own, sidecars])
def test_what_else_lies_in_an_entry_is_not_removed_with_it(tmp_path: Path, made: Made) -> None:
    store, run = made(tmp_path)
    before = tree(run)
    entry = pruned(store)
    mine = [trash / entry.name / "mine.txt" for trash in {entry.parent, run / ".ckptkit" / "trash"}]
    for path in mine:
        path.write_text("mine")
    store.undelete(f"{RUN}@100")
    assert tree(run) == before
    assert [path.read_text() for path in mine] == ["mine"] * len(mine)


@pytest.mark.parametrize("made", [beside, in_a_store_of_their_own, sidecars])
def test_nothing_is_left_of_an_entry_that_came_back_whole(tmp_path: Path, made: Made) -> None:
    store, run = made(tmp_path)
    entry = pruned(store)
    store.undelete(f"{RUN}@100")
    assert [p for trash in {entry.parent, run / ".ckptkit" / "trash"} if trash.is_dir() for p in trash.iterdir()] == []


def test_a_manifest_whose_files_are_gone_does_not_come_back_alone(tmp_path: Path) -> None:
    store, run = in_a_store_of_their_own(tmp_path)
    entry = pruned(store)
    (store.storage.run_folder(RUN) / ".ckptkit" / "adopted-from.json").unlink()
    with pytest.raises(DamagedError, match="checkpoint-100 is neither there nor in"):
        store.undelete(f"{RUN}@100")
    assert next(entry.glob("*.manifest.json")).is_file()
    assert list((run / ".ckptkit" / "trash").glob("*/checkpoint-100/weights.bin"))


def test_files_whose_manifest_is_gone_come_back_and_it_is_told(tmp_path: Path) -> None:
    store, run = beside(tmp_path)
    before = tree(run)
    next(pruned(store).glob("*.manifest.json")).unlink()
    with pytest.raises(DamagedError, match="its files are back in the run, but no manifest"):
        store.undelete(f"{RUN}@100")
    assert tree(run) == before
