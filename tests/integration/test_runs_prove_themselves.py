"""A run proves itself: what it did after a save, its rehearsal in the background, and what is told of it."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from ckptkit import CheckpointStore, scratch
from ckptkit.catalog import shown
from ckptkit.errors import StoreError, UsageError
from ckptkit.retention import RetentionPolicy
from ckptkit.store import Wrote, headroom, rehearsal
from ckptkit.verification.observation import first_difference

HERE = Path(__file__).parent
LIGHT, TORCH = HERE / "light_run.py", HERE / "proving_run.py"
_PATIENCE = 240


def train(script: Path, store: Path, mode: str, *more: str, background: bool = False) -> str:
    """Run a training to its end and return what it says."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CKPTKIT_BACKGROUND": "normal" if background else "never"}
    command = [sys.executable, str(script), str(store), mode, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE + 60, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stderr


def ckptkit(store: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "ckptkit.cli.main", "--store", str(store), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)


def by_hand(store: Path, steps: int = 8) -> "subprocess.CompletedProcess[str]":
    return ckptkit(store, "verify", "toy@5", "--level", "resume", "--steps", str(steps), "--format", "json")


def listed(store: Path, step: int = 5) -> dict[str, object] | None:
    rows = json.loads(ckptkit(store, "list", "toy", "--format", "json").stdout)["checkpoints"]
    found: dict[str, object] | None = next(row["shown"] for row in rows if row["step"] == step)
    return found


def tree(store: Path) -> Mapping[str, bytes]:
    """Return every file of the store but what was shown, which is meant to be written."""
    return {str(p): p.read_bytes() for p in store.rglob("*") if p.is_file() and p.name != "shown.json"}


# What the live run hears


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    store = tmp_path_factory.mktemp("honest") / "store"
    return store, train(LIGHT, store, "honest", "--hold", str(_PATIENCE), background=True)


def test_an_honest_run_is_rehearsed_while_it_goes_on(honest: tuple[Path, str]) -> None:
    store, said = honest
    assert "INFO ckptkit toy@5: rehearsed 3 steps, the same" in said
    assert "WARNING" not in said
    found = listed(store)
    assert found is not None
    assert (found["words"], found["exact"], found["differs"]) == ("rehearsed 3", True, None)


def test_exact_is_said_of_the_checkpoint_that_was_rehearsed_and_of_no_other(honest: tuple[Path, str]) -> None:
    store, _ = honest
    assert re.search(r"^resume\texact \(rehearsed 3 steps\)$", ckptkit(store, "show", "toy@5").stdout, re.MULTILINE)
    assert re.search(r"^resume\tnothing shown$", ckptkit(store, "show", "toy@10").stdout, re.MULTILINE)
    document = json.loads(ckptkit(store, "show", "toy@5", "--format", "json").stdout)["checkpoint"]
    assert document["captured"] == {"grade": "complete", "reasons": []}
    assert document["shown"]["steps"] == 3
    assert "complete, rehearsed 3" in ckptkit(store, "list", "toy").stdout


def test_a_difference_is_a_warning_of_the_live_run_and_names_step_and_part(tmp_path: Path) -> None:
    said = train(LIGHT, tmp_path / "store", "differs", "--hold", str(_PATIENCE), background=True)
    assert re.search(r"WARNING ckptkit toy@5: a resume .* first difference: step 6: generators of item 'rng'", said)
    found = listed(tmp_path / "store")
    assert found is not None
    assert found["words"] == "differs (rehearsed 3)"


def test_a_rehearsal_outlives_the_run_that_started_it(tmp_path: Path) -> None:
    train(LIGHT, tmp_path / "store", "honest", background=True)
    deadline = time.monotonic() + _PATIENCE
    while (found := listed(tmp_path / "store")) is None and time.monotonic() < deadline:
        time.sleep(0.5)
    assert found is not None
    assert found["words"] == "rehearsed 3"


def test_a_run_without_a_command_is_told_once_how_to_give_one(tmp_path: Path) -> None:
    said = train(LIGHT, tmp_path / "store", "silent", background=True)
    assert said.count("WARNING") == 1
    assert "nothing says how to resume it" in said
    assert "resume=[...]" in said


def test_a_command_that_fails_proves_nothing_and_its_last_words_are_told_once(tmp_path: Path) -> None:
    said = train(LIGHT, tmp_path / "store", "fails", "--hold", str(_PATIENCE), background=True)
    assert said.count("WARNING") == 1
    assert "proved nothing: the command ended with 1: no such dataset" in said
    assert listed(tmp_path / "store") is None


def test_a_rehearsal_that_takes_too_long_ends_with_all_that_it_started(tmp_path: Path) -> None:
    train(LIGHT, tmp_path / "store", "child")
    assert by_hand(tmp_path / "store").returncode == 0
    left = [p for p in Path("/proc").glob("[0-9]*") if b"time.sleep(600)" in _command(p)]
    assert left == []


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


# When there is no room for it


def test_it_gives_way_to_everything_else() -> None:
    """Nice value, and the order in which the kernel ends processes when memory is short; both are inherited."""
    code = (
        "import os, pathlib; from ckptkit.store.lowly import give_way; give_way();"
        "print(os.nice(0), pathlib.Path('/proc/self/oom_score_adj').read_text().strip())"
    )
    ours = _group()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=_PATIENCE)
    assert done.stdout.split() == ["19", "1000"]
    assert _group() == ours, "a session that is not its own was lowered with it"


def _group() -> str:
    path = Path("/proc/self/autogroup")
    return path.read_text() if path.exists() else ""


@pytest.fixture
def generator_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CheckpointStore:
    monkeypatch.delenv("CKPTKIT_BACKGROUND")
    store = CheckpointStore(tmp_path / "store")
    store.save("toy", 5, {"rng": np.random.default_rng(0)}, resume=[sys.executable, "-c", "pass"])
    return store


def test_several_ranks_are_told_to_rehearse_by_hand(
    generator_run: CheckpointStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    observer = generator_run.observe("toy", steps=1)
    observer.note(6, {"rng": np.random.default_rng(0)})
    assert not observer.proving
    assert "the run has 2 ranks" in caplog.text
    assert "verify toy@5 --level resume --steps 1" in caplog.text


def test_nothing_starts_where_memory_is_short(
    generator_run: CheckpointStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert (headroom.available() or 0) > (headroom.resident() or 0) > 1 << 20
    monkeypatch.setattr(headroom, "SHARE", 1e9)
    observer = generator_run.observe("toy", steps=1)
    observer.note(6, {"rng": np.random.default_rng(0)})
    assert not observer.proving
    assert "GB of memory are free" in caplog.text


# The scratch copy stands for the store


def test_a_script_that_names_its_store_itself_does_not_touch_it(tmp_path: Path) -> None:
    store = tmp_path / "store"
    train(LIGHT, store, "fixed")
    before = tree(store)
    done = by_hand(store)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["checkpoints"][0]["proofs"]["(run)"]["steps"] == 3
    assert tree(store) == before


def test_in_a_rehearsal_the_real_store_is_the_scratch_one_and_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, copy = tmp_path / "real", tmp_path / "scratch" / "store"
    assert scratch.rehearsing() is None
    rehearsal = scratch.Rehearsal(str(real), str(copy), "toy", 5, 3, 0, str(tmp_path / "notes"))
    monkeypatch.setenv(scratch.VARIABLE, rehearsal.variable())
    assert CheckpointStore(real).storage.root == copy
    assert CheckpointStore(f"file://{real}").storage.root == copy
    assert CheckpointStore(real / "team").storage.root == copy / "team"
    assert CheckpointStore(tmp_path / "other").storage.root == tmp_path / "other"
    with pytest.raises(StoreError, match="of which this process is a rehearsal"):
        CheckpointStore(tmp_path)
    assert scratch.rehearsing() == tmp_path / "scratch"


def test_a_command_that_starts_afresh_proves_nothing(tmp_path: Path) -> None:
    train(LIGHT, tmp_path / "store", "afresh")
    done = by_hand(tmp_path / "store")
    proof = json.loads(done.stdout)["checkpoints"][0]["proofs"]["(run)"]
    assert proof["verdict"] == "unproven"
    assert "did not resume: the first step it took is 1" in proof["reason"]


def test_a_command_that_ends_early_proves_nothing_and_says_how_far_it_came(tmp_path: Path) -> None:
    train(LIGHT, tmp_path / "store", "short")
    proof = json.loads(by_hand(tmp_path / "store").stdout)["checkpoints"][0]["proofs"]["(run)"]
    assert (proof["verdict"], proof["steps"]) == ("unproven", 2)
    assert "after 2 of 3 steps, all the same" in proof["reason"]


# Real resumes


@pytest.mark.parametrize(("mode", "words"), [("honest", "observed 3"), ("differs", "differs (observed 1)")])
def test_a_real_resume_is_held_against_the_first_run(tmp_path: Path, mode: str, words: str) -> None:
    train(LIGHT, tmp_path / "store", "honest")
    said = train(LIGHT, tmp_path / "store", mode, "--resume", "toy@5")
    assert ("WARNING ckptkit toy@5: this resumed run does not continue as the first one did: step 6" in said) == (
        mode == "differs"
    )
    found = listed(tmp_path / "store")
    assert found is not None
    assert found["words"] == words


def test_a_framework_that_loads_by_itself_tells_the_store(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    generator = np.random.default_rng(0)
    store.save("toy", 5, {"rng": generator})
    store.observe("toy", steps=1).note(6, {"rng": generator})
    again = CheckpointStore(tmp_path / "store")
    again.resumed("toy@5")
    assert again.save("other", 6, {"rng": generator}).manifest.parent is None
    observer = again.observe("another", steps=1)
    again.resumed("toy@5")
    proof = observer.note(6, {"rng": generator})
    assert proof is not None
    assert proof.verdict == "same"


# Which checkpoints are noted


@pytest.mark.parametrize(
    ("options", "noted"),
    [
        ({}, [1]),
        ({"prove": 2}, [1, 3, 5]),
        ({"note_after": "every"}, [1, 2, 3, 4, 5]),
        ({"prove": "never"}, []),
    ],
)
def test_the_first_save_is_noted_or_each_mth_or_every(
    tmp_path: Path, options: dict[str, str], noted: list[int]
) -> None:
    store = CheckpointStore(tmp_path / "store")
    items = {"rng": np.random.default_rng(0)}
    observer = store.observe("toy", steps=2, **options)
    for step in range(1, 8):
        items["rng"].random()
        observer.note(step, items)
        if step <= 5:
            store.save("toy", step, items)
    assert [at.step for at in store.locate("toy") if at.observed.exists()] == noted


def test_a_run_that_is_over_before_all_steps_were_noted_is_rehearsed_with_those_that_were(tmp_path: Path) -> None:
    train(LIGHT, tmp_path / "store", "brief")
    assert json.loads(by_hand(tmp_path / "store").stdout)["checkpoints"][0]["proofs"]["(run)"]["verdict"] == "same"
    found = listed(tmp_path / "store")
    assert found is not None
    assert found["words"] == "rehearsed 2"


def test_a_checkpoint_that_is_being_proven_outlives_retention_as_long_as_the_proof_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPTKIT_BACKGROUND", "low")
    store, items = CheckpointStore(tmp_path / "store"), {"rng": np.random.default_rng(0)}
    observer = store.observe("toy", steps=50, resume=["python", "train.py"])
    for step in range(1, 4):
        observer.note(step, items)
        store.save("toy", step, items)
        store.prune(store.plan_prune(RetentionPolicy(keep_last=1), run="toy"))
    assert [at.step for at in store.locate("toy")] == [1, 3]
    assert "being proven" in str(store.plan_prune(RetentionPolicy(keep_last=1), run="toy"))
    del observer
    store.prune(store.plan_prune(RetentionPolicy(keep_last=1), run="toy"))
    assert [at.step for at in store.locate("toy")] == [3]


@pytest.mark.parametrize("options", [{}, {"resume": ["python", "train.py"], "prove": "never"}])
def test_retention_is_as_ever_where_nothing_is_to_be_proven(tmp_path: Path, options: dict[str, Any]) -> None:
    store, items = CheckpointStore(tmp_path / "store"), {"rng": np.random.default_rng(0)}
    observer = store.observe("toy", steps=50, **options)
    for step in range(1, 4):
        observer.note(step, items)
        store.save("toy", step, items)
        store.prune(store.plan_prune(RetentionPolicy(keep_last=1), run="toy"))
    assert [at.step for at in store.locate("toy")] == [3]


@pytest.mark.parametrize("what", ["step-00000001", "checkpoint-1"])
def test_a_rehearsal_says_in_one_line_that_its_checkpoint_was_removed_first(tmp_path: Path, what: str) -> None:
    store = CheckpointStore(tmp_path / "store")
    if what == "checkpoint-1":
        folder = tmp_path / "store/toy/checkpoint-1"
        folder.mkdir(parents=True)
        (folder / "model.bin").write_bytes(b"weights")
        at = store.adopt("toy", folder.name, 1, {"model": Wrote(folder.name)}).at
    else:
        at = store.save("toy", 1, {"rng": np.random.default_rng(0)}).at
    shutil.rmtree(tmp_path / "store/toy" / what)
    job = {"url": store.storage.url, "run": "toy", "name": at.name, "layout": at.layout.kind, "steps": 2}
    job |= {"template": ["false"], "seconds": 60, "low": False}
    command = [sys.executable, "-m", "ckptkit.store.lowly", json.dumps(job)]
    (line,) = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    said = json.loads(line.partition(":")[2])
    assert said["verdict"] == "unproven"
    assert "removed meanwhile, by the trainer or another program" in said["reason"]


def test_nothing_is_noted_where_no_step_followed_the_save(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    observer = store.observe("toy", steps=2)
    at = store.save("toy", 1, {"rng": np.random.default_rng(0)}).at
    observer.close()
    assert not at.observed.exists()


@pytest.mark.parametrize("options", [{"prove": 0}, {"prove": True}, {"prove": "always"}, {"steps": 0}])
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        CheckpointStore(tmp_path).observe("toy", **options)


def test_what_acts_on_the_rest_is_named_first() -> None:
    before = {"policy": {"model": "1", "optimizer": "1"}, "data": {"position": "1"}, "rng": {"python": "1"}}
    after = {"policy": {"model": "2", "optimizer": "2"}, "data": {"position": "1"}, "rng": {"python": "1"}}
    assert first_difference(before, before) is None
    assert first_difference(before, after) == "optimizer of item 'policy' (and with it model)"
    after |= {"data": {"position": "2"}, "rng": {"python": "2"}}
    found = first_difference(before, after)
    assert found is not None
    assert found.startswith("position of item 'data' (and with it python of 'rng'")


# What less shows


def test_a_replay_and_a_read_back_are_shown_and_called_no_more_than_that(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    store.save("toy", 5, {"rng": np.random.default_rng(0)})
    store.restore("toy", into={"rng": np.random.default_rng(1)})
    assert [one.words for one in _evidence(store)] == ["read-back"]
    report = store.verify("toy", level="resume")
    assert report.checkpoints[0].proofs["rng"].steps == 8
    replayed = _evidence(store)[-1]
    assert (replayed.words, replayed.exact) == ("replayed", False)
    assert replayed.detail == "rng: 8 words of the stream of each generator"
    assert replayed.resume == "not shown to be exact (replayed)"


def test_a_restore_of_some_items_shows_nothing_of_the_checkpoint(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    store.save("toy", 5, {"a": np.random.default_rng(0), "b": np.random.default_rng(1)})
    store.restore("toy", into={"a": np.random.default_rng(1)})
    assert _evidence(store) == []


def test_a_store_that_cannot_be_written_is_restored_all_the_same(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    store.save("toy", 5, {"rng": np.random.default_rng(0)})
    state = tmp_path / "store/toy/.ckptkit"
    state.rename(tmp_path / "away")
    state.touch()  # nothing can be built beside the checkpoint
    assert store.restore("toy", into={"rng": np.random.default_rng(1)}).step == 5
    assert _evidence(store) == []


def test_a_difference_outweighs_all_that_was_the_same(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    at, manifest = (saved := store.save("toy", 5, {"rng": np.random.default_rng(0)})).at, saved.manifest
    shown.note(at, manifest.digest, shown.Shown("observed", 8))
    shown.note(at, manifest.digest, shown.Shown("rehearsed", 8, "step 6: model of item 'policy'"))
    most = next(iter(store.list("toy"))).shown
    assert most is not None
    assert most.words == "differs (rehearsed 8)"
    shown.note(at, manifest.digest, shown.Shown("rehearsed", 8))
    most = next(iter(store.list("toy"))).shown
    assert most is not None
    assert (most.words, most.exact) == ("observed 8", True)


def _evidence(store: CheckpointStore) -> list[shown.Shown]:
    at = store.locate("toy")[0]
    return list(shown.read(at, store.choose(at.ref).manifest.digest))


def test_evidence_beside_flat_files_goes_into_the_trash_with_them_and_comes_back(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    run = tmp_path / "store/toy"
    run.mkdir(parents=True)
    for step in (1, 2):
        path = run / f"ep{step:06}.safetensors"
        save_file({"weight": np.zeros(2)}, path)
        saved = store.adopt_in_place("toy", f"ep{step:06}", {"policy": path})
        shown.note(saved.at, saved.manifest.digest, shown.Shown("rehearsed", 8))
    store.prune(store.plan_prune(RetentionPolicy(keep_last=1), run="toy"))
    assert sorted(p.name for p in run.glob("*.json")) == ["ep000002.manifest.json", "ep000002.shown.json"]
    store.undelete("toy@1")
    assert [one.shown.words for one in store.list("toy") if one.shown] == ["rehearsed 8", "rehearsed 8"]


# A torch training, and what looking at its state cannot find


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("mode", "part"),
    [
        ("honest", None),
        ("counter", "gradients"),
        ("closure", "gradients"),
        ("attribute", "gradients"),
        ("shuffle", "gradients"),
        ("order", "torch.cpu"),
    ],
)
def test_a_rehearsal_finds_state_that_nobody_captured(tmp_path: Path, mode: str, part: str | None) -> None:
    train(TORCH, tmp_path / "store", mode)
    store = CheckpointStore(tmp_path / "store")
    proof = rehearsal.rehearse(store.storage, store.choose("toy@5"), steps=4).proof
    (found,) = _evidence(store)
    if part is None:
        assert found.words == "rehearsed 4", proof.reason
        return
    assert proof.verdict == "differs"
    assert found.words == "differs (rehearsed 4)"
    assert str(found.differs).startswith(f"step 6: {part} of item")
