"""Read-back, observed steps, rehearsals and the numeric environment: the proofs that the store itself takes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_memory import in_store

from ckptkit import CheckpointStore
from ckptkit.errors import BackendError
from ckptkit.verification import Verifier

STEPS = 3
SCRIPT = """
import os, sys
import numpy as np
from ckptkit import CheckpointStore

ref, mode = sys.argv[1:3]
store = CheckpointStore(os.environ["CKPTKIT_STORE"])
items = {"rng": np.random.default_rng(0)}
start = store.restore(ref, into=items).step
observer = store.observe("toy") if mode != "unobserved" else None
for step in range(start + 1, start + 7):
    items["rng"].random(3 if mode != "random" else int.from_bytes(os.urandom(1)))
    if observer:
        observer.note(step, items)
    if step % 3 == 0:
        store.save("toy", step, items)
"""


def saved(store: CheckpointStore, **items: Any) -> None:
    store.save(
        "toy", 6, items, resume=[sys.executable, str(Path(store.storage.url).parent / "train.py"), "{run}@{step}"]
    )


def test_read_back_names_the_part_that_was_not_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CheckpointStore(tmp_path / "store")
    saved(store, rng={"data": np.random.default_rng(1), "noise": np.random.default_rng(2)})
    from ckptkit_numpy import NumpyRngBackend

    load = NumpyRngBackend.load

    def forgets_one(self: Any, directory: Path, *, target: Any, context: Any) -> Any:
        noise = np.random.default_rng(9)
        load(self, directory, target={"data": target["data"], "noise": noise}, context=context)
        return target

    monkeypatch.setattr(NumpyRngBackend, "load", forgets_one)
    target = {"data": np.random.default_rng(1), "noise": np.random.default_rng(3)}
    with pytest.raises(BackendError, match=r"'rng': generators.noise is not what was saved"):
        store.restore("toy", into={"rng": target})
    restored = store.restore("toy", into={"rng": target}, readback=False)
    assert restored is not None
    assert restored.step == 6


def test_a_resumed_run_is_held_against_what_the_first_run_did_next(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    generator = np.random.default_rng(1)
    saved(store, rng=generator)
    first = store.observe("toy", steps=STEPS)
    for step in range(7, 7 + STEPS):
        generator.random()
        assert first.note(step, {"rng": generator}) is None
    for draws, verdict in ((1, "same"), (2, "differs")):
        store.restore("toy", into={"rng": generator})
        again = store.observe("toy", steps=STEPS)
        for step in range(7, 7 + STEPS):
            generator.random(draws)
            again.note(step, {"rng": generator})
        assert again.proof is not None
        assert again.proof.verdict == verdict
    assert again.proof.reason == "step 7: generators of item 'rng'"


def test_a_run_that_died_before_leaves_no_observation(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    generator = np.random.default_rng(1)
    saved(store, rng=generator)
    store.observe("toy", steps=STEPS).note(7, {"rng": generator})
    at = store.locate("toy")[0]
    assert not in_store(f"{at.where}/{at.observed_file}").exists()
    assert store.verify("toy").exit_code == 0


def test_a_sealed_observation_travels_and_verifies_with_the_checkpoint(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    generator = np.random.default_rng(1)
    saved(store, rng=generator)
    store.observe("toy", steps=1).note(7, {"rng": generator})
    at = store.locate("toy")[0]
    sealed = in_store(f"{at.where}/{at.observed_file}")
    assert store.verify("toy").exit_code == 0
    data = json.loads(sealed.read_text())
    data["steps"]["7"]["rng"]["generators"] = "0" * 64
    sealed.write_text(json.dumps(data))
    report = store.verify("toy")
    assert [p.code for p in report.checkpoints[0].problems] == ["observed-damaged"]


def test_the_resume_level_proves_generators_in_a_process_of_their_own(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    saved(store, rng=np.random.default_rng(1))
    report = Verifier("resume").verify(store.locate("toy")[0])
    assert report.proofs["rng"].verdict == "same"


def test_without_its_factory_an_item_is_unproven_never_ok(tmp_path: Path) -> None:
    import torch

    store = CheckpointStore(tmp_path / "store")
    saved(store, policy=torch.nn.Linear(2, 2))
    report = store.verify("toy", level="resume")
    assert report.checkpoints[0].proofs["policy"].verdict == "unproven"
    assert report.exit_code == 3


def test_a_difference_in_another_numeric_environment_is_a_verdict_of_its_own(tmp_path: Path) -> None:
    from ckptkit.manifest.reading import parse, sealed

    store = CheckpointStore(tmp_path / "store")
    saved(store, rng=np.random.default_rng(1))
    at = store.locate("toy")[0]
    file = in_store(f"{at.where}/{at.manifest_file}")
    fields = parse(file.read_bytes()).plain()
    del fields["digest"]
    fields["items"]["rng"]["probe"]["draws"][0][1] = "sha256:" + "0" * 64
    fields["environment"]["packages"]["numpy"] = "1.0.0"
    file.write_bytes(sealed(fields, "blake3")[1])
    report = Verifier("resume").verify(at)
    assert report.proofs["rng"].verdict == "environment-differs"
    assert "but it was saved with 1.0.0" in (report.proofs["rng"].reason or "")
    assert report.good


@pytest.mark.parametrize(
    ("mode", "code", "verdict"),
    [("observed", 0, "same"), ("unobserved", 0, "same"), ("random", 1, "differs")],
)
@pytest.mark.on_disk("the command runs in a process of its own")
def test_a_rehearsal_tells_whether_the_script_itself_is_deterministic(
    tmp_path: Path, mode: str, code: int, verdict: str
) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    store = CheckpointStore(tmp_path / "store")
    saved(store, rng=np.random.default_rng(1))
    before = sorted(path for path in Path(store.storage.url).rglob("*"))  # what was shown is added, and only that
    command = [sys.executable, "-m", "ckptkit.cli.main", "--store", store.storage.url, "verify", "toy"]
    command += ["--level", "resume", "--steps", "4", "--format", "json", "--"]
    command += [sys.executable, str(tmp_path / "train.py"), "{run}@{step}", mode, "{store}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == code, done.stderr
    found = json.loads(done.stdout)["checkpoints"][0]
    assert found["proofs"]["(run)"]["verdict"] == verdict
    after = sorted(path for path in Path(store.storage.url).rglob("*") if path.name != "shown.json")
    assert after == before, "the rehearsal touched the real store"


@pytest.mark.on_disk("the command runs in a process of its own")
def test_a_rehearsal_of_a_command_that_fails_is_unproven_with_its_last_words(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    saved(store, rng=np.random.default_rng(1))
    command = [sys.executable, "-m", "ckptkit.cli.main", "--store", store.storage.url, "verify", "toy"]
    command += [
        "--level",
        "resume",
        "--steps",
        "1",
        "--",
        sys.executable,
        "-c",
        "raise SystemExit('no data')",
        "{path}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 3
    assert "no data" in done.stdout
