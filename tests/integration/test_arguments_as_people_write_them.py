"""What people write for an argument is taken for what it means, or refused in one line; never something else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ckptkit import CheckpointStore, Files
from ckptkit.errors import UsageError


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    (tmp_path / "notes.txt").write_text("a")
    return CheckpointStore(tmp_path / "store")


@pytest.fixture
def notes(store: CheckpointStore, tmp_path: Path) -> dict[str, Files]:
    return {"notes": Files(str(tmp_path / "notes.txt"), "files")}  # type: ignore[arg-type]  # as people write it


def test_a_resume_command_may_be_one_line(store: CheckpointStore, notes: dict[str, Files]) -> None:
    store.save("r", 1, notes, resume="python 'my train.py' --resume {run}@{step}")
    assert store.resume_command("r").argv == ["python", "my train.py", "--resume", "r@1"]


def test_one_variable_and_one_tag_need_no_list(store: CheckpointStore, notes: dict[str, Files]) -> None:
    saved = store.save("r", 1, notes, resume=["true"], env="HOME", tags="best")
    assert saved.manifest.resume is not None
    assert saved.manifest.resume.env == ["HOME"]
    assert [one.tags for one in store.list("r")] == [("best",)]


def test_a_step_may_be_a_number_of_numpy(store: CheckpointStore, notes: dict[str, Files]) -> None:
    saved = store.save("r", np.int64(104), notes)
    assert (saved.at.ref, type(saved.manifest.step)) == ("r@104", int)


def test_a_destination_may_be_text(store: CheckpointStore, notes: dict[str, Files], tmp_path: Path) -> None:
    store.save("r", 1, notes)
    store.copy_out("r@1", str(tmp_path / "out"))  # type: ignore[arg-type]  # as people write it
    assert (tmp_path / "out" / "notes" / "notes.txt").read_text() == "a"


@pytest.mark.parametrize("step", [1.0, "1", True, np.float64(1), None])
def test_what_is_no_whole_number_is_no_step(step: Any, store: CheckpointStore, notes: dict[str, Files]) -> None:
    with pytest.raises(UsageError, match="is not a whole number"):
        store.save("r", step, notes)


MISTAKES: dict[str, tuple[str, Callable[[CheckpointStore], object]]] = {
    "level": ("level 'deep' is not known", lambda store: store.verify("r", level="deep")),  # type: ignore[arg-type]
    "level of a restore": (
        "level 'deep' is not known",
        lambda store: store.restore("r", into={}, level="deep"),  # type: ignore[arg-type]
    ),
    "sort": ("sort 'foo' is not known", lambda store: store.list(sort="foo")),  # type: ignore[arg-type]
    "limit": ("limit -1 shows nothing", lambda store: store.list(limit=-1)),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_word_that_there_is_not_is_refused(name: str, store: CheckpointStore, notes: dict[str, Files]) -> None:
    store.save("r", 1, notes)
    said, act = MISTAKES[name]
    with pytest.raises(UsageError, match=said):
        act(store)


def test_a_listener_that_cannot_be_called_is_refused_at_once(store: CheckpointStore) -> None:
    with pytest.raises(TypeError, match="a int cannot be called"):
        store.listen(5)  # type: ignore[arg-type]
