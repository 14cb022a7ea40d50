"""A save reads nothing of what was saved before but a note of the last one, and the note is never believed too much."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ckptkit import CheckpointStore
from ckptkit.errors import ConflictError

OPENED = """
import sys
import numpy as np
from ckptkit import CheckpointStore
store, step = CheckpointStore(sys.argv[1]), int(sys.argv[2])
opened, listed = [], []
sys.addaudithook(lambda name, args: opened.append(str(args[0])) if name == "open" else None)
sys.addaudithook(lambda name, args: listed.append(str(args[0])) if name in ("os.scandir", "os.listdir") else None)
store.save("r", step, {"rng": np.random.default_rng(step)})
others = [path for path in opened if "/step-" in path and f"step-{step:08d}" not in path]
print(len(others), sum(path.rstrip("/").endswith("/r") for path in listed))
"""


def save(store: CheckpointStore, *steps: int) -> None:
    for step in steps:
        store.save("r", step, {"rng": np.random.default_rng(step)})


def sequences(store: CheckpointStore) -> dict[int, int]:
    return {one.summary.step: one.summary.sequence for one in store.list("r") if one.summary is not None}


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    store = CheckpointStore(tmp_path / "store")
    save(store, 1, 2, 3)
    return store


def note(store: CheckpointStore) -> Path:
    return Path(store.storage.where_state("r", "last-save.json"))


def test_a_save_opens_no_file_of_another_checkpoint_and_looks_through_no_names(store: CheckpointStore) -> None:
    command = [sys.executable, "-c", OPENED, store.storage.url, "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0"]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"sequence": 99}'])
def test_without_a_whole_note_the_sequence_goes_on_all_the_same(content: bytes | None, store: CheckpointStore) -> None:
    if content is None:
        note(store).unlink()
    else:
        note(store).write_bytes(content)
    save(store, 4)
    assert sequences(store) == {1: 1, 2: 2, 3: 3, 4: 4}


def test_a_note_with_another_number_in_it_is_not_believed(store: CheckpointStore) -> None:
    fields = json.loads(note(store).read_bytes())
    note(store).write_text(json.dumps(fields | {"sequence": 70}))
    save(store, 4)
    assert sequences(store)[4] == 4


def test_a_note_of_a_checkpoint_that_was_removed_is_not_believed(store: CheckpointStore) -> None:
    shutil.rmtree(store.locate("r@3")[0].folder)
    save(store, 3)
    assert sequences(store) == {1: 1, 2: 2, 3: 3}


def test_a_save_at_an_older_step_still_counts_on(store: CheckpointStore) -> None:
    store.save("r", 1, {"rng": np.random.default_rng(9)}, replace=True)
    save(store, 4)
    assert sequences(store) == {1: 4, 2: 2, 3: 3, 4: 5}


def test_a_checkpoint_that_was_put_there_by_hand_is_in_the_way_of_its_step(store: CheckpointStore) -> None:
    old = store.locate("r@3")[0].folder
    fields = json.loads((old / "manifest.json").read_bytes())
    assert fields["step"] == 3
    os.rename(old, old.with_name("checkpoint-3"))
    with pytest.raises(ConflictError, match="is committed already"):
        save(store, 3)


def test_a_run_that_began_from_another_says_so_in_each_checkpoint(store: CheckpointStore) -> None:
    store.save("s", 5, {"rng": np.random.default_rng(5)}, parent="r@3")
    for step in (6, 7):
        store.save("s", step, {"rng": np.random.default_rng(step)}, parent=f"s@{step - 1}")
    origin = store.manifest("s@7").origin
    assert origin is not None
    assert (origin.run, origin.step) == ("r", 3)
