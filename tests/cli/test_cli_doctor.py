"""`ckptkit doctor` says what is well and what is not, whatever is wrong, and changes nothing."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import inside as ckptkit
from foreign_files import hugging_face

from ckptkit import CheckpointStore, StoreReader
from ckptkit.testing.tree import picture

HOLD = "import sys; from ckptkit import CheckpointStore as S; S(sys.argv[1]).hold('a/run'); print(flush=True); input()"


def examined(*words: str, code: int = 0, **how: Any) -> dict[str, dict[str, Any]]:
    done = ckptkit("doctor", *words, "--format", "json", **how)
    assert done.returncode == code, (done.stdout, done.stderr)
    document = json.loads(done.stdout)
    assert document["schema_version"] == "1.0"
    states = [one["state"] for one in document["findings"]]
    assert (document["problems"], document["warnings"]) == (states.count("problem"), states.count("warning"))
    assert (code == 1) == (document["problems"] > 0)
    for one in document["findings"]:
        assert one["message"]
        assert "\n" not in one["message"]
        assert one["state"] != "problem" or one["remedy"], one
    return {f"{one['about']}/{one['name']}": one for one in document["findings"]}


def test_it_tells_versions_backends_and_where_things_are(store: Path) -> None:
    found = examined(store=store)
    assert found["installation/version"]["details"]["python"].startswith("3.")
    assert "typer" in found["installation/needed"]["details"]
    assert found["backends/files"]["state"] == "ok"
    assert found["cache/ledger"]["details"]["path"].startswith(os.environ["CKPTKIT_CACHE"])
    assert found["configuration/file"]["message"] == "there is no ckptkit.yaml here or above"
    assert found["store/there"]["details"]["path"] == str(store)
    assert found["store/checkpoints"]["details"]["runs"] == 1


def test_it_tries_a_save_and_leaves_nothing_of_it(store: Path) -> None:
    before = picture(store)
    found = examined(store=store)
    assert found["store/writable"]["state"] == "ok"
    powers = ("kind", "clock", "exclusive", "exchange", "link", "flock", "record-lock", "time-of-change")
    assert all(f"file system/{name}" in found for name in powers)
    assert picture(store) == before


def test_a_missing_store_is_told_and_not_created(tmp_path: Path) -> None:
    found = examined(store=tmp_path / "not" / "yet")
    assert found["store/there"]["state"] == "warning"
    assert "the first `ckptkit save` creates it" in found["store/there"]["remedy"]
    assert found["store/writable"]["state"] == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_written_is_told() -> None:
    found = examined(code=1, store=Path("/proc/self/ns"))  # not even root can create anything there
    assert found["store/there"]["state"] == "ok"
    assert "nothing can be saved here" in found["store/writable"]["message"]
    assert "list, verify and restore work" in found["store/writable"]["remedy"]


def test_a_full_disk_is_told(store: Path) -> None:
    before, limits = picture(store), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))  # every write fails, as on a full disk
    try:
        found = examined(code=1, store=store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "nothing can be saved here" in found["store/writable"]["message"]
    assert "ckptkit prune" in found["store/writable"]["remedy"]
    assert picture(store) == before


@pytest.mark.parametrize(("name", "words"), [("nonsense://x", "kind of store"), ("FILE", "cannot be read")])
def test_what_is_no_store_is_told(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "FILE").write_text("")
    done = ckptkit("doctor", "--store", name, cwd=tmp_path)
    assert done.returncode == 1
    assert words in done.stdout
    assert "Traceback" not in done.stderr


def test_a_broken_configuration_is_told_and_hides_nothing_else(store: Path, tmp_path: Path) -> None:
    (tmp_path / "ckptkit.yaml").write_text("stroe: x\n")
    found = examined(code=1, store=store, cwd=tmp_path)
    assert "line 1: stroe: unknown key" in found["configuration/file"]["message"]
    assert found["configuration/file"]["remedy"] == "did you mean store?"
    assert found["store/writable"]["state"] == "ok"
    assert examined(code=1, cwd=tmp_path)["store/there"]["state"] == "warning"


def test_a_run_that_is_being_trained_is_told_with_who_trains_it(store: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(store)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout is not None
        training.stdout.readline()
        told = examined(store=store)["runs/held"]
        training.communicate("\n", timeout=60)
    assert told["details"]["pid"] == training.pid
    assert f"a/run: is being written by process {training.pid}" in told["message"]
    assert "what 1 training left of a lock holds nothing" in examined(store=store)["runs/held"]["message"]


def test_a_training_that_examines_its_own_store_keeps_its_hold(store: Path) -> None:
    mine = CheckpointStore(store)
    mine.hold("a/run")
    told = {one.name: one for one in mine.examine() if one.about == "runs"}["held"]
    assert told.details["pid"] == os.getpid()
    done = subprocess.run([sys.executable, "-c", HOLD, str(store)], capture_output=True, text=True, input="\n")
    assert "LockedError" in done.stderr
    mine.release("a/run")


def test_what_saves_that_died_left_and_the_trash_are_told(store: Path) -> None:
    dead = store / "a" / "run" / ".ckptkit" / "staging" / ("0" * 32)
    (dead / "checkpoint").mkdir(parents=True)
    (dead / "checkpoint" / "model").write_bytes(b"x" * 1000)
    ckptkit("prune", "--keep-last", "2", "--apply", store=store)
    found = examined(store=store)
    assert found["runs/leftovers"]["details"]["folders"] == 1
    assert found["runs/leftovers"]["details"]["bytes"] == 1000
    assert found["runs/leftovers"]["state"] == "ok", "it may still be looked for"
    assert found["runs/trash"]["details"]["checkpoints"] == 1
    os.utime(dead, (time.time() - 90_000,) * 2)
    assert examined(store=store)["runs/leftovers"]["state"] == "warning"
    assert ckptkit("prune", "--keep-last", "all", "--apply", store=store).returncode == 0
    assert examined(store=store)["runs/leftovers"]["details"]["folders"] == 0, "the remedy does it"


def test_people_get_groups_and_lines_that_fit(store: Path) -> None:
    text = ckptkit("doctor", "--format", "table", store=store, env={"COLUMNS": "60"}).stdout
    lines = text.splitlines()
    assert [line for line in lines if line and not line.startswith(" ")] == [
        "Installation", "Backends", "Configuration", "Cache", "Store", "File system", "Runs",
    ]  # fmt: skip
    assert max(len(line) for line in lines if str(store) not in line) <= 60


def test_a_hostile_name_of_a_run_controls_no_terminal(store: Path) -> None:
    shutil.copytree(store / "a" / "run", store / "a" / "\x1b[31mrun")
    for format_ in ("table", "tsv", "json"):
        assert "\x1b" not in ckptkit("doctor", "--format", format_, store=store).stdout


def test_the_library_tells_the_same_as_plain_values(store: Path) -> None:
    found = list(StoreReader(store).examine())
    assert {one.about for one in found} == {"store", "file system", "runs"}
    assert all(one.state == "ok" for one in found if one.about == "store")


def test_it_counts_what_is_known_to_verify_and_what_has_no_manifest(rng_file: Path, tmp_path: Path) -> None:
    mine = CheckpointStore(tmp_path / "store")
    for step in (1, 2):
        mine.save("a/run", step, {"rng": rng_file})
    hugging_face(tmp_path / "store/b", 4)
    found = examined(store=tmp_path / "store")
    assert found["store/verified"]["details"] == {"verified": 2}
    assert found["store/verified"]["remedy"] is None
    assert found["store/manifests"]["details"] == {"without": 1}
    unknown = examined("--no-cache", store=tmp_path / "store")["store/verified"]
    assert (unknown["details"], unknown["remedy"]) == ({"unverified": 2}, "`ckptkit verify` judges them")


def test_what_is_known_to_be_damaged_or_cannot_be_read_is_a_warning(rng_file: Path, tmp_path: Path) -> None:
    mine = CheckpointStore(tmp_path / "store")
    for step in (1, 2, 3):
        mine.save("a/run", step, {"rng": rng_file})
    _, damaged, unreadable = mine.locate("a/run")
    known = mine.ledger.one("a/run", damaged.name)
    assert known is not None
    mine.ledger.note("a/run", damaged.name, replace(known, good=False))
    unreadable.manifest.write_text("{}")
    found = examined(store=tmp_path / "store")["store/verified"]
    assert (found["state"], found["details"]) == ("warning", {"verified": 1, "damaged": 1, "unreadable": 1})
