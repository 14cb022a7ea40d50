"""What a prune or a save takes away while it is read is gone, or another one; it is never called damaged."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import inside

from ckptkit import CheckpointStore
from ckptkit.errors import NotFoundError
from ckptkit.retention import RetentionPolicy
from ckptkit.storage import Entry
from ckptkit.store import Details, StoreReader
from ckptkit.verification import Verifier

LAST = RetentionPolicy(keep_last=1)
PRUNER = """
import sys, time
import numpy as np
from ckptkit import CheckpointStore
from ckptkit.retention import RetentionPolicy
store, rng = CheckpointStore(sys.argv[1]), np.random.default_rng(1)
print("ready", flush=True)
for step in range(2, 10**6):
    store.save("r", step, {"rng": rng}, probe=False)
    if step % 5 == 0:
        store.prune(store.plan_prune(RetentionPolicy(keep_last=1)))
"""


def flat(store: CheckpointStore, step: int) -> None:
    folder = Path(store.storage.url) / "r"
    folder.mkdir(parents=True, exist_ok=True)
    rng = folder / f"ep{step:06d}.json"
    rng.write_text('{"bit_generator": "PCG64", "state": {"state": 1, "inc": 1}, "has_uint32": 0, "uinteger": 0}')
    store.adopt_in_place("r", f"ep{step:06d}", {"rng": rng}, Details())


FLAT = pytest.mark.on_disk("a trainer writes its files into the folder of the run")


@pytest.fixture(params=["folders", pytest.param("flat files", marks=FLAT)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> CheckpointStore:
    store = CheckpointStore(tmp_path)
    for step in (1, 2, 3):
        if request.param == "folders":
            store.save("r", step, {"rng": np.random.default_rng(step)})
        else:
            flat(store, step)
    return store


def removing(store: CheckpointStore, at: Entry) -> Verifier:
    """Return a verifier that loses the checkpoint, to the trash, while its first file is read."""

    def lose(count: int) -> None:
        if at.identity is not None:
            files = [f"{at.name}.json"] if at.sidecar else []
            store.storage.remove(at, files)

    return Verifier(on_bytes=lose)


def test_what_is_removed_while_it_is_read_is_gone(store: CheckpointStore) -> None:
    [at] = store.locate("r@2")
    report = store.verify("r", verifier=removing(store, at))
    assert [c.at.step for c in report.checkpoints] == [1, 3]
    assert (report.gone, report.exit_code) == (["r@2"], 0)


def test_what_is_removed_before_it_is_read_is_gone(store: CheckpointStore) -> None:
    places = store.locate("r")
    store.prune(store.plan_prune(LAST))
    reports = [Verifier().verify(at) for at in places]
    assert [report.gone for report in reports] == [True, True, False]


def test_a_step_that_is_asked_for_and_goes_is_not_found(store: CheckpointStore) -> None:
    [at] = store.locate("r@2")
    assert store.verify("r@2", verifier=removing(store, at)).exit_code == 4
    with pytest.raises(NotFoundError):
        store.restore("r@2", into={"rng": np.random.default_rng(0)})


def test_another_one_in_its_place_is_judged_instead(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    store.save("r", 1, {"one": np.random.default_rng(1), "other": np.random.default_rng(1)})
    replaced: list[int] = []

    def replace(count: int) -> None:
        if not replaced:
            items = {"one": np.random.default_rng(2), "other": np.random.default_rng(2)}
            replaced.append(store.save("r", 1, items, replace=True).manifest.sequence)

    report = store.verify("r@1", verifier=Verifier(on_bytes=replace))
    assert report.exit_code == 0
    manifest = report.checkpoints[0].manifest
    assert manifest is not None
    assert [manifest.sequence] == replaced


def test_a_plan_takes_what_is_gone_for_done(store: CheckpointStore) -> None:
    planned = store.plan_prune(LAST)
    assert len(store.prune(planned).removed) == 2
    again = store.prune(planned)
    assert (again.removed, again.failures) == ([], [])


@pytest.mark.on_disk("another process saves and prunes there")
def test_beside_a_process_that_saves_and_prunes_nothing_is_called_damaged(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    store.save("r", 1, {"rng": np.random.default_rng(1)})
    with subprocess.Popen([sys.executable, "-c", PRUNER, str(tmp_path)], stdout=subprocess.PIPE) as pruner:
        assert pruner.stdout is not None
        pruner.stdout.readline()
        try:
            seen, gone, end = set(), set(), time.monotonic() + 5
            while time.monotonic() < end:
                report = store.verify()
                assert [c.reason for c in report.checkpoints if not c.good] == []
                seen |= {c.at.ref for c in report.checkpoints}
                gone |= set(report.gone)
                assert [one.problem for one in store.list() if one.problem] == []
        finally:
            pruner.kill()
    assert len(seen) > 10
    assert pruner.returncode != 1


def test_the_command_says_what_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CheckpointStore(tmp_path)
    for step in (1, 2):
        store.save("r", step, {"rng": np.random.default_rng(step)})
    places = store.locate("r")
    store.storage.remove(places[0])
    monkeypatch.setattr(StoreReader, "locate", lambda self, ref=None: places)  # as a scan just before found it
    done = inside("verify", store=tmp_path)
    assert done.returncode == 0
    assert "removed while they were looked at, and not judged: r@1" in done.stderr


class Forgetful:
    """A memory of folders that keeps nothing."""

    def recall(self, run: str) -> None:
        return None

    def keep(self, *seen: object) -> None:
        pass

    def forget(self, runs: object) -> None:
        pass


@pytest.mark.on_disk("folders are walked one after the other")
@pytest.mark.parametrize("remembering", [False, True])
def test_a_folder_that_goes_while_a_store_is_walked_is_passed_over(remembering: bool, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    for run in ("a", "b", "c"):
        store.save(run, 1, {"rng": np.random.default_rng(1)})
    storage = store.storage
    runs = storage.remembering(Forgetful()).runs() if remembering else [("", storage.scan())]
    walk = (at for _, entries in runs for at in entries)
    first = next(walk)
    shutil.rmtree(tmp_path / "b")
    assert [at.run for at in (first, *walk)] == ["a", "c"]
