"""What was verified is not read again until it changes; and every way to lie to the ledger ends in reading again."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import inside

from ckptkit import CheckpointStore
from ckptkit.catalog.known import Known
from ckptkit.retention import RetentionPolicy
from ckptkit.storage.local import stamps
from ckptkit.verification import Verifier, observation

RUN = "a/run"
LAST = RetentionPolicy(keep_last=1)
PAYLOAD = "step-00000002/rng/rng.json"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CKPTKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return saved(tmp_path / "store", 1, 2)


def saved(root: Path, *steps: int) -> CheckpointStore:
    store = CheckpointStore(root)
    for step in steps:
        store.save(RUN, step, {"rng": np.random.default_rng(step)})
    return store


def read(store: CheckpointStore) -> tuple[int, set[str]]:
    """Return how many payload bytes a plan reads, and what verifies by it."""
    blocks: list[int] = []
    planned = store.plan_prune(LAST, verifier=Verifier(on_bytes=blocks.append, ledger=store.ledger))
    return sum(blocks), {one.at.ref for one in planned.checkpoints if one.good}


def states(store: CheckpointStore, *options: str) -> list[str]:
    done = inside(*options, "list", "--format", "json", store=store.storage.root)
    return [c["content"] for c in json.loads(done.stdout)["checkpoints"]]


def payload(store: CheckpointStore) -> Path:
    return store.storage.run_folder(RUN) / PAYLOAD


def edit_in_place(path: Path) -> None:
    """Change one byte and put the times back, as a tool that hides its work would."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(before.st_size // 2)
        byte = file.read(1)
        file.seek(before.st_size // 2)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_was_just_saved_is_not_read_again(store: CheckpointStore) -> None:
    assert read(store) == (0, {f"{RUN}@1", f"{RUN}@2"})
    assert states(store) == ["verified", "verified"]


def test_an_edit_in_place_with_the_mtime_put_back_is_found(store: CheckpointStore) -> None:
    edit_in_place(payload(store))
    assert states(store) == ["verified", "unverified"]
    read_now, good = read(store)
    assert read_now == payload(store).stat().st_size
    assert good == {f"{RUN}@1"}
    assert inside("verify", store=store.storage.root).returncode == 1


def test_a_copied_store_starts_empty(store: CheckpointStore, tmp_path: Path) -> None:
    shutil.copytree(store.storage.root, tmp_path / "copy")  # with all times, as `cp -a`
    copy = CheckpointStore(tmp_path / "copy")
    assert states(copy) == ["unverified", "unverified"]
    assert read(copy)[0] > 0
    assert read(store)[0] == 0


def test_a_store_that_was_moved_or_put_in_the_place_of_another_starts_empty(
    store: CheckpointStore, tmp_path: Path
) -> None:
    root = store.storage.root
    root.rename(tmp_path / "moved")
    assert states(CheckpointStore(tmp_path / "moved")) == ["unverified", "unverified"]
    shutil.copytree(tmp_path / "moved", root)
    assert states(store) == ["unverified", "unverified"]


@pytest.mark.parametrize("place", [2, 3], ids=["time of change", "inode"])
def test_on_another_machine_the_stamps_differ_and_all_is_read(store: CheckpointStore, place: int) -> None:
    """Two machines with one cache folder and a store at one place: what is behind it is not the same."""
    at = store.locate(f"{RUN}@2")[0]
    known = store.ledger.one(RUN, at.name)
    assert known is not None
    elsewhere = {path: [*stamp[:place], 7, *stamp[place + 1 :]] for path, stamp in known.stamps.items()}
    store.ledger.note(RUN, at.name, replace(known, stamps=elsewhere))
    assert states(store) == ["verified", "unverified"]
    assert read(store)[0] == payload(store).stat().st_size


def test_a_file_put_in_place_of_another_with_its_times_is_found(store: CheckpointStore, tmp_path: Path) -> None:
    shutil.copy2(payload(store), tmp_path / "other")
    edit_in_place(tmp_path / "other")
    (tmp_path / "other").replace(payload(store))
    assert read(store)[1] == {f"{RUN}@1"}


@pytest.mark.parametrize("change", ["added", "removed", "linked"])
def test_a_file_that_comes_goes_or_becomes_a_link_is_found(store: CheckpointStore, tmp_path: Path, change: str) -> None:
    if change == "added":
        (payload(store).parent / "more").write_text("")
    elif change == "removed":
        payload(store).unlink()
    else:
        payload(store).rename(tmp_path / "away")
        payload(store).symlink_to(tmp_path / "away")
    assert states(store) == ["verified", "unverified"]
    assert read(store)[1] == {f"{RUN}@1"}


def test_a_changed_manifest_is_found(store: CheckpointStore) -> None:
    edit_in_place(store.storage.run_folder(RUN) / "step-00000002" / "manifest.json")
    assert read(store)[1] == {f"{RUN}@1"}


def test_an_observation_that_was_sealed_later_is_read_and_nothing_else(store: CheckpointStore) -> None:
    at = store.locate(f"{RUN}@2")[0]
    manifest = Verifier("presence").verify(at).manifest
    assert manifest is not None
    observation.seal(at, manifest, observation.Observation({3: {"rng": {"state": "blake3:" + "0" * 64}}}))
    assert read(store) == (0, {f"{RUN}@1", f"{RUN}@2"})
    at.observed.write_text(at.observed.read_text().replace("0000", "0001"))
    assert read(store)[1] == {f"{RUN}@1"}


def test_verify_reads_all_unless_it_is_told_to_trust(store: CheckpointStore) -> None:
    assert store.verify().checkpoints[0].bytes_read > 0
    done = inside("verify", "--trust-unchanged", store=store.storage.root)
    assert done.returncode == 0
    assert "2 of them not read again: unchanged since they were verified" in done.stderr
    done = inside("verify", "--trust-unchanged", "--format", "json", store=store.storage.root)
    assert [(c["bytes"], c["trusted_since"] is None) for c in json.loads(done.stdout)["checkpoints"]] == [
        (0, False)
    ] * 2
    edit_in_place(payload(store))
    assert inside("verify", "--trust-unchanged", store=store.storage.root).returncode == 1


def test_what_a_resume_chooses_is_read_whatever_is_known(store: CheckpointStore) -> None:
    blocks: list[int] = []
    store.choose(RUN, verifier=Verifier(on_bytes=blocks.append, ledger=store.ledger))
    assert sum(blocks) == payload(store).stat().st_size


@pytest.mark.parametrize("otherwise", [{"judge": "older"}, {"level": "digest"}], ids=["other code", "less deeply"])
def test_what_was_judged_otherwise_is_read_again(otherwise: dict[str, str], store: CheckpointStore) -> None:
    at = store.locate(f"{RUN}@2")[0]
    known = store.ledger.one(RUN, at.name)
    assert known is not None
    store.ledger.note(RUN, at.name, replace(known, **otherwise))
    assert read(store)[0] == payload(store).stat().st_size


def test_what_was_found_damaged_is_never_condemned_unread(store: CheckpointStore) -> None:
    at = store.locate(f"{RUN}@2")[0]
    known = store.ledger.one(RUN, at.name)
    assert known is not None
    store.ledger.note(RUN, at.name, replace(known, good=False))
    assert states(store) == ["verified", "damaged"]
    assert read(store) == (payload(store).stat().st_size, {f"{RUN}@1", f"{RUN}@2"})


def test_verify_tells_the_ledger_once_the_files_are_older_than_its_clock(store: CheckpointStore) -> None:
    edit_in_place(payload(store))
    store.verify()
    assert states(store) == ["verified", "unverified"], "changed in the same tick, it could be changed again unseen"
    time.sleep(2.1)
    store.verify()
    assert states(store) == ["verified", "damaged"]


def test_a_file_from_the_future_is_not_settled(tmp_path: Path) -> None:
    now = time.time()
    long_ago = {"file": (1, 0, int((now - 3) * 1e9), 1)}
    just_now = {"file": (1, 0, int(now * 1e9), 1)}
    in_an_hour = {"file": (1, 0, int((now + 3600) * 1e9), 1)}
    assert stamps.old_enough(long_ago, now)
    assert not stamps.old_enough(just_now, now)
    assert stamps.settled(just_now, tmp_path)
    assert not stamps.settled(in_an_hour, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["option before", "option after", "variable"])
def test_without_a_cache_nothing_is_known_and_nothing_kept(
    tmp_path: Path, cache: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = saved(tmp_path / "store", 1)
    shutil.rmtree(cache)
    before, after = (["--no-cache"], []) if how == "option before" else ([], ["--no-cache"])
    environment = {"CKPTKIT_CACHE": str(cache)}
    if how == "variable":
        after, environment = [], {**environment, "CKPTKIT_NO_CACHE": "1"}
    for words in (["verify"], ["prune", "--keep-last", "1"], ["resume-cmd", RUN], ["list"]):
        done = inside(*before, words[0], *after, *words[1:], store=store.storage.root, env=environment)
        assert done.returncode in (0, 2), done.stderr
    assert "\tunverified\t" in done.stdout
    assert not cache.exists()


def test_a_ledger_that_cannot_be_kept_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("CKPTKIT_CACHE", str(tmp_path / "file"))
    store = saved(tmp_path / "store", 1, 2)
    assert read(store)[1] == {f"{RUN}@1", f"{RUN}@2"}
    assert read(store)[0] > 0
    assert states(store) == ["unverified", "unverified"]


def test_what_is_known_of_removed_checkpoints_is_forgotten(store: CheckpointStore) -> None:
    store.prune(store.plan_prune(LAST))
    store.plan_prune(LAST)
    assert store.ledger.of_run(RUN).keys() == {"step-00000002"}


def test_a_presence_check_takes_no_deeper_knowledge_away(store: CheckpointStore) -> None:
    time.sleep(2.1)
    store.verify(level="presence")
    assert read(store)[0] == 0


def test_a_sidecar_is_known_with_the_files_it_lists(tmp_path: Path) -> None:
    store = saved(tmp_path / "store", 1)
    folder = store.storage.run_folder(RUN)
    shutil.copy(folder / "step-00000001" / "rng" / "rng.json", folder / "ep000007.json")
    store.adopt_in_place(RUN, "ep000007", {"rng": folder / "ep000007.json"})
    assert read(store)[0] == 0
    assert states(store) == ["verified", "verified"]
    edit_in_place(folder / "ep000007.json")
    assert states(store) == ["verified", "unverified"]
    assert read(store)[1] == {f"{RUN}@1"}


def test_the_old_words_of_a_listing_stay_in_its_json(store: CheckpointStore) -> None:
    done = inside("list", "--format", "json", store=store.storage.root)
    first = json.loads(done.stdout)["checkpoints"][0]
    assert (first["state"], first["content"], first["verified_level"]) == ("listed", "verified", "format")
    assert first["verified_at"].endswith("Z")


WATCHED = """
import os, sys
import numpy as np
from ckptkit import Retain
from ckptkit_hooks.keeper import Keeper
from ckptkit.cli import main

opened, on = [], False

def watch(event, arguments):
    if on and event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        opened.append(os.fsdecode(arguments[0]))

sys.addaudithook(watch)

class Watched(Keeper):
    def _prune(self):
        global on
        on = True
        super()._prune()
        on = False

store, what = sys.argv[1], sys.argv[2]
keeper = Watched(store, "a/run", retain=Retain(last=3))
if what == "retention":
    for step in range(1, 9):
        keeper.save(step, {"rng": np.random.default_rng(step)})
elif what == "keeper restore":
    on = True
    keeper.restore({"rng": np.random.default_rng(0)})
elif what == "store restore":
    on = True
    keeper.store.restore("a/run", {"rng": np.random.default_rng(0)})
else:
    on, sys.argv[1:] = True, ["--store", store, *what.split()]
    try:
        main.run()
    except SystemExit:
        pass
on = False
for path in opened:
    print("opened", path)
"""


def opened(root: Path, what: str, name: str, **environment: str) -> int:
    """Return how often a file of that name was opened in a process of its own, whoever did it."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(root), what],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return sum(line.startswith("opened") and line.endswith(f"/{name}") for line in done.stdout.splitlines())


def test_a_hooks_retention_after_a_save_reads_no_payload(tmp_path: Path) -> None:
    assert opened(tmp_path / "store", "retention", "rng.json") == 0
    assert opened(tmp_path / "other", "retention", "rng.json", CKPTKIT_NO_CACHE="1") > 8
    assert [at.step for at in CheckpointStore(tmp_path / "store").locate(RUN)] == [6, 7, 8]


def test_a_hooks_retention_reads_no_manifest_of_another_run_that_is_known(tmp_path: Path) -> None:
    alone = opened(tmp_path / "alone", "retention", "manifest.json")
    for name in ("known", "unknown"):
        for step in range(10):
            CheckpointStore(tmp_path / name).save("b", step, {"rng": np.random.default_rng(step)})
    assert opened(tmp_path / "known", "retention", "manifest.json") == alone
    assert opened(tmp_path / "unknown", "retention", "manifest.json", CKPTKIT_NO_CACHE="1") >= alone + 10


def test_a_short_listing_reads_no_other_manifests(tmp_path: Path) -> None:
    saved(tmp_path / "store", *range(1, 9))
    assert opened(tmp_path / "store", "list --limit 2", "manifest.json") == 2
    assert opened(tmp_path / "store", "list", "manifest.json") == 8


def test_a_hook_restores_what_it_has_chosen_without_verifying_it_twice(tmp_path: Path) -> None:
    saved(tmp_path / "store", 1, 2)
    once = opened(tmp_path / "store", "store restore", "rng.json")
    assert 0 < once == opened(tmp_path / "store", "keeper restore", "rng.json")


def test_a_line_holds_no_more_than_is_needed(store: CheckpointStore) -> None:
    known = store.ledger.one(RUN, "step-00000002")
    assert isinstance(known, Known)
    assert known.stamps.keys() == {"manifest.json", "rng/rng.json"}
    assert known.facts.keys() == {"run", "digest", "sequence", "created_at", "size", "metrics", "parents"}
