"""What the store promises holds on any storage: its own tests, run against two that have no disk."""

import os
import random
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import pytest
from in_memory import VARIABLE, WANTED

from ckptkit import CheckpointStore, Files
from ckptkit.errors import StoreError, UsageError
from ckptkit.retention import RetentionPolicy
from ckptkit.testing import MemoryStorage
from ckptkit.verification import Verifier

HERE = Path(__file__).parent
FILES = [
    "test_bad_input_manifests.py",
    "test_copies_in_a_run.py",
    "test_flat_items.py",
    "test_given_folders.py",
    "test_gone_is_not_damaged.py",
    "test_locks_are_fair.py",
    "test_prepared_runs.py",
    "test_proofs.py",
    "test_refs_are_sealed.py",
    "test_replacing.py",
    "test_runs_that_went_on.py",
    "test_store_behaviour.py",
    "test_store_words.py",
]
WHY = {
    "a folder that nobody can list",
    "a person copies a folder to another store",
    "a person copies a folder within the store",
    "a person copies folders into the store",
    "a save that dies leaves a staging folder",
    "a trainer writes its files into the folder of the run",
    "another process prunes there",
    "another process saves and prunes there",
    "calls of the system fail one after the other",
    "files belong to users",
    "folders are walked one after the other",
    "links, devices and pipes",
    "lock files; the laws of the kit say it of every store",
    "no file of this machine lies in a store in memory",
    "other processes hold the run",
    "other processes save there",
    "the command runs in a process of its own",
    "the probe writes, flushes and renames files",
    "the store lies in the folder that is saved",
    "what was saved is looked at on the disk",
}
"""What only a store on a disk has."""
PASSED = 213
"""At least: new tests add to it."""


@pytest.mark.slow
@pytest.mark.skipif(WANTED, reason="it would run itself")
@pytest.mark.parametrize("kind", ["memory", "objects"])
def test_the_store_keeps_its_promises_in_memory(tmp_path: Path, kind: str) -> None:
    """Nothing fails, and what is skipped is skipped for a reason that stands here."""
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}", *FILES]
    environment = os.environ | {VARIABLE: kind}
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-5000:]
    cases = list(ElementTree.parse(report).iter("testcase"))
    skips = Counter(_why(case) for case in cases if case.find("skipped") is not None)
    assert set(skips) - {"only root can give files to another user"} == {f"on disk: {why}" for why in WHY}
    assert len(cases) - skips.total() >= PASSED, skips
    ran = {case.attrib["classname"].split(".")[2] for case in cases if case.find("skipped") is None}
    on_disk_altogether = {"test_locks_are_fair", "test_replacing"}
    assert ran == {Path(name).stem for name in FILES} - on_disk_altogether


def _why(case: ElementTree.Element) -> str:
    skipped = case.find("skipped")
    return "" if skipped is None else skipped.attrib["message"]


@pytest.fixture
def store() -> CheckpointStore:
    return CheckpointStore(MemoryStorage())


def test_a_resume_command_needs_no_folder_unless_its_template_names_one(store: CheckpointStore) -> None:
    store.save("r", 1, {"rng": random.Random(1)}, resume=["train", "--from", "{run}@{step}", "{store}"])
    assert list(store.resume_command("r").argv) == ["train", "--from", "r@1", store.storage.url]
    for field in ("path", "checkpoint", "items.rng"):
        with pytest.raises(UsageError, match=rf"r@1: the resume template names {{{field}}}, and the store has no"):
            store.resume_command("r", template=["train", f"{{{field}}}"])


def test_a_restored_folder_stays_as_long_as_its_store(store: CheckpointStore, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "events.txt").write_text("one")
    store.save("r", 1, {"logs": Files(tmp_path / "logs", "files")})
    restored = store.restore("r", into={"logs": None})
    folder = Path(restored.items["logs"])
    store.verify()
    assert (folder / "events.txt").read_text() == "one"
    (folder / "events.txt").write_text("another")
    assert store.verify().exit_code == 0


def test_what_only_a_folder_has_is_refused_in_words(store: CheckpointStore, tmp_path: Path) -> None:
    saved = store.save("r", 1, {"rng": random.Random(1)})
    with pytest.raises(StoreError, match="has no folder on this machine"):
        saved.path  # noqa: B018 - asking for it is the test
    (tmp_path / "ep000002.json").write_text("{}")
    with pytest.raises(StoreError, match="has no folder on this machine"):
        store.adopt_in_place("r", "ep000002", {"rng": tmp_path / "ep000002.json"})
    assert [one.at.ref for one in store.list()] == ["r@1"]


def test_what_was_verified_is_known_until_a_file_changes(store: CheckpointStore) -> None:
    storage = store.storage
    assert isinstance(storage, MemoryStorage)
    for step in (1, 2):
        store.save("r", step, {"rng": random.Random(step)})

    def read() -> int:
        blocks: list[int] = []
        store.plan_prune(RetentionPolicy(keep_last=1), verifier=Verifier(on_bytes=blocks.append, ledger=store.ledger))
        return sum(blocks)

    assert read() > 0
    store.verify()
    assert read() == 0
    (key,) = storage.objects.below("r/step-00000001/rng/")
    found = storage.objects.get(key)
    assert found is not None
    storage.objects.put({key: found.data})
    assert read() == len(found.data), "written anew, it is read anew, and the other is not"
