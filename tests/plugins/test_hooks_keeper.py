"""What all hooks do with the store, with generators of NumPy as items."""

import logging
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from ckptkit_files import Written
from ckptkit_hooks.keeper import Keeper

from ckptkit import CheckpointStore, Retain, RetentionPolicy
from ckptkit.backend import Captured
from ckptkit.errors import ConflictError, InconsistentSetError, NothingResumableError
from ckptkit.signing import key_files
from ckptkit.signing.keyring import Keyring

RUN = "keeper/run1"


def saved(store: Path, *steps: int, retain: RetentionPolicy | None = None) -> Keeper:
    keeper = Keeper(store, RUN, retain=retain)
    for step in steps:
        keeper.save(step, {"rng": np.random.default_rng(step)}, metrics={"loss": float(step)})
    return keeper


def steps(store: Path) -> list[int | None]:
    return [at.step for at in CheckpointStore(store).locate(RUN)]


def damage(store: Path, step: int) -> None:
    (store / RUN / f"step-{step:08d}" / "rng" / "rng.json").write_text("{}")


def test_without_any_checkpoint_training_starts_afresh(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert Keeper(tmp_path / "store", RUN).newest() is None
    assert "a fresh start" in caplog.text


def test_when_all_are_damaged_training_does_not_silently_start_afresh(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    damage(tmp_path, 1)
    with pytest.raises(NothingResumableError, match=f"{RUN}@1"):
        Keeper(tmp_path, RUN).newest()


def test_the_newest_that_verifies_is_chosen_and_the_reason_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved(tmp_path, 1, 2)
    damage(tmp_path, 2)
    chosen = Keeper(tmp_path, RUN).newest()
    assert chosen is not None
    assert chosen.manifest.step == 1
    assert f"skipped {RUN}@2: " in caplog.text


def test_the_state_is_restored_and_the_parent_recorded(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    keeper, generator = Keeper(tmp_path, RUN), np.random.default_rng(7)
    restored = keeper.restore({"rng": generator})
    assert restored is not None
    assert generator.random() == np.random.default_rng(1).random()
    keeper.save(2, {"rng": generator})
    parent = CheckpointStore(tmp_path).choose(RUN).manifest.parent
    assert parent is not None
    assert (parent.run, parent.step) == (RUN, 1)


def test_a_damaged_checkpoint_makes_room_when_its_step_is_reached_again(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2)
    damage(tmp_path, 2)
    keeper = Keeper(tmp_path, RUN)
    keeper.newest()
    keeper.save(2, {"rng": np.random.default_rng(2)})
    assert CheckpointStore(tmp_path).verify(RUN).exit_code == 0


def test_the_step_that_training_resumed_from_is_not_saved_again(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    keeper = Keeper(tmp_path, RUN)
    keeper.newest()
    assert keeper.save(1, {"rng": np.random.default_rng(9)}) == f"{RUN}@1"


def test_a_fresh_run_does_not_overwrite_an_older_one(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    with pytest.raises(ConflictError):
        saved(tmp_path, 1)


@pytest.mark.parametrize("step", [0, 1])
def test_what_is_in_the_way_is_told_before_training_and_goes_only_when_that_was_asked_for(
    tmp_path: Path, step: int, caplog: pytest.LogCaptureFixture
) -> None:
    saved(tmp_path, 1, 2, 3)
    with pytest.raises(ConflictError, match="than step 1" if step else "has checkpoints already"):
        Keeper(tmp_path, RUN).prepare(step)
    Keeper(tmp_path, RUN).prepare(3)
    assert steps(tmp_path) == [1, 2, 3]
    Keeper(tmp_path, RUN, replace_newer=True).prepare(step)
    assert "keeper/run1@3: moved to the trash" in caplog.text
    assert [at.step for at in CheckpointStore(tmp_path).storage.scan(RUN)] == [1][:step]


def test_a_run_that_resumed_from_step_0_is_no_fresh_start(tmp_path: Path) -> None:
    saved(tmp_path, 0)
    keeper = Keeper(tmp_path, RUN)
    keeper.newest()
    keeper.prepare(0)


def test_a_run_is_followed_where_it_went_on_and_goes_on_from_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved(tmp_path, 1)
    CheckpointStore(tmp_path).save("keeper/run2", 2, {"rng": np.random.default_rng(2)}, parent=f"{RUN}@1")
    keeper, generator = Keeper(tmp_path, RUN), np.random.default_rng(7)
    restored = keeper.restore({"rng": generator})
    assert restored is not None
    assert (restored.run, restored.step) == ("keeper/run2", 2)
    assert f"{RUN} went on as keeper/run2" in caplog.text
    keeper.prepare(2)
    keeper.save(3, {"rng": generator})
    parent = CheckpointStore(tmp_path).choose(f"{RUN}@3").manifest.parent
    assert parent is not None
    assert (parent.run, parent.step) == ("keeper/run2", 2)


def test_old_checkpoints_go_and_a_damaged_one_fills_no_slot(tmp_path: Path) -> None:
    keeper = saved(tmp_path, 1, 2, 3, retain=Retain(last=2))
    assert steps(tmp_path) == [2, 3]
    damage(tmp_path, 3)
    keeper.save(4, {"rng": np.random.default_rng(4)})
    assert 2 in steps(tmp_path)


def test_pruning_that_fails_does_not_end_the_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keeper = Keeper(tmp_path, RUN, retain=Retain(last=1, best=1, metric="acuracy", mode="max"))
    with caplog.at_level(logging.WARNING):
        keeper.save(1, {"rng": np.random.default_rng(1)}, metrics={"accuracy": 0.5})
    assert "has no metric 'acuracy'" in caplog.text
    assert "old checkpoints stay" in caplog.text


def test_the_best_one_can_be_resumed_from(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2, 3)
    chosen = Keeper(tmp_path, RUN, retain=Retain(last="all", metric="loss", mode="min")).newest(f"{RUN}@best")
    assert chosen is not None
    assert chosen.manifest.step == 1


def test_without_waiting_a_step_is_safe_and_old_ones_go_once_it_is_durable(tmp_path: Path) -> None:
    store, committed, told = CheckpointStore(tmp_path), threading.Event(), threading.Event()
    keeper = Keeper(store, RUN, retain=Retain(last=1), wait=False)
    keeper.save(1, {"rng": np.random.default_rng(1)})
    keeper.wait()
    store.listen(lambda event: event.kind == "saved" and (committed.set(), told.wait(60)))
    keeper.save(2, {"rng": np.random.default_rng(2)})
    assert committed.wait(60)
    assert (keeper.is_safe(2), steps(tmp_path)) == (False, [1, 2])
    assert keeper.save(2, {"rng": np.random.default_rng(2)}) == f"{RUN}@2"
    told.set()
    keeper.wait()
    assert (keeper.is_safe(2), steps(tmp_path)) == (True, [2])


def test_what_failed_behind_is_raised_by_the_next_save_and_can_be_saved_again(tmp_path: Path) -> None:
    keeper, note = Keeper(tmp_path / "store", RUN, wait=False), tmp_path / "note.json"
    note.write_text("{}")
    keeper.save(1, {"note": Written({"note.json": note}, Captured(), step=5)})
    with pytest.raises(InconsistentSetError, match=f"{RUN}@1 was not saved"):
        keeper.save(2, {"rng": np.random.default_rng(2)})
    keeper.save(1, {"note": Written({"note.json": note}, Captured(), step=1)})
    keeper.wait()
    assert steps(tmp_path / "store") == [1]


def test_what_failed_behind_is_raised_at_the_end(tmp_path: Path) -> None:
    keeper, note = Keeper(tmp_path / "store", RUN, wait=False), tmp_path / "note.json"
    note.write_text("{}")
    keeper.save(1, {"note": Written({"note.json": note}, Captured(), step=5)})
    with pytest.raises(InconsistentSetError, match=f"{RUN}@1 was not saved"):
        keeper.wait()
    assert not keeper.is_safe(1)


TERMINATED = """
import os, signal, sys, time
import numpy as np
from ckptkit import CheckpointStore
from ckptkit_hooks.keeper import Keeper
from ckptkit_hooks.sigterm import StopRequest

store, stop = CheckpointStore(sys.argv[1], listeners=[lambda event: time.sleep(0.5)]), StopRequest({"Trainer.train"})
keeper = Keeper(store, "run", wait=False)

class Trainer:
    def train(self):
        stop.watch()
        keeper.save(1, {"rng": np.random.default_rng(1)})
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested and not keeper.is_safe(1)
        name = keeper.save(2, {"rng": np.random.default_rng(2)})
        keeper.wait()
        stop.exit(name)

Trainer().train()
"""


def test_sigterm_during_a_save_waits_saves_what_was_asked_for_and_ends_with_143(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TERMINATED, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 143, done.stderr
    store = CheckpointStore(tmp_path)
    assert [at.step for at in store.locate("run")] == [1, 2]
    assert store.verify().exit_code == 0


@pytest.mark.parametrize("hook", ["sb3", "hf", "lightning_", "keras_"])
def test_importing_a_hook_imports_no_framework(hook: str) -> None:
    heavy = "torch tensorflow stable_baselines3 transformers accelerate lightning keras numpy gymnasium h5py"
    program = f"import sys, ckptkit_hooks.{hook}; print(sorted(set('{heavy}'.split()) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("wait", [True, False])
def test_what_a_hook_saves_is_signed_where_its_store_signs(tmp_path: Path, wait: bool) -> None:
    store = CheckpointStore(tmp_path / "store", signer=key_files.generate(tmp_path / "ada"))
    keeper = Keeper(store, RUN, wait=wait)
    keeper.prepare(0)
    for step in (1, 2):
        keeper.save(step, {"rng": np.random.default_rng(step)})
    store.close()
    report = store.verify(RUN, signers=Keyring.of([tmp_path / "ada.pub"]))
    assert [one.signed_by for one in report.checkpoints] == [("ada",), ("ada",)]
