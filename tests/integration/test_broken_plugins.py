"""A stranger's backend may be broken in any way: it is named, nothing is committed, and all others go on working.

Each plugin is a real distribution: a module and a dist-info folder with an entry point, on the path of a new process.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

GOOD = """
from ckptkit.backend import SavedItem

class Thing: pass

class Backend:
    name = "stranger"
    format_version = 1
    def can_save(self, item): return type(item).__name__ == "Thing"
    def save(self, item, directory, *, context):
        (directory / "thing").write_text("x")
        return SavedItem()
    def load(self, directory, *, target, context): return target
    def check(self, directory, *, context): return []
"""
SAVE = """
import json, sys
import numpy as np
from ckptkit import CheckpointStore
from ckptkit.errors import CkptkitError

class Thing: pass

store = CheckpointStore(sys.argv[1])
store.save("good", 1, {"rng": np.random.default_rng(1)})
result = {}
try:
    items = ITEMS
    store.save("bad", 1, items)
    result["saved"] = True
except CkptkitError as error:
    result |= {"error": type(error).__name__, "code": error.exit_code, "message": error.message}
result["listed"] = [one.at.ref for one in store.list()]
result["left"] = [str(p) for p in (store.storage.root / "bad" / ".ckptkit" / "staging").glob("*")]
result["good"] = store.verify("good").exit_code
print(json.dumps(result))
"""


def install(folder: Path, code: str, name: str = "stranger", *, metadata: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}_backend.py").write_text(code)
    info = folder / f"{name}_backend-1.0.dist-info"
    info.mkdir(parents=True)
    if metadata:
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-backend\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[ckptkit.backends]\n{name} = {name}_backend:Backend\n")
    return folder


def run(folder: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    environment = {"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, cwd=folder)


def save(
    folder: Path, store: Path, items: str = "{'rng': np.random.default_rng(2), 'thing': Thing()}"
) -> dict[str, object]:
    done = run(folder, "-c", SAVE.replace("ITEMS", items), store)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["good"] == 0
    assert result["left"] == []
    return dict(result)


def listed_backends(folder: Path, store: Path) -> dict[str, dict[str, object]]:
    done = run(folder, "-m", "ckptkit.cli.main", "--store", store, "backends", "--format", "json")
    assert done.returncode == 0, done.stderr
    return {one["name"]: one for one in json.loads(done.stdout)["backends"]}


def test_a_good_one_works(tmp_path: Path) -> None:
    result = save(install(tmp_path, GOOD), tmp_path / "s")
    assert result["listed"] == ["bad@1", "good@1"]
    assert listed_backends(tmp_path, tmp_path)["stranger"]["distribution"] == "stranger-backend 1.0"


NOT_LOADED = {
    "raises when it is imported": "raise RuntimeError('no GPU\\nhere')",
    "ends the process when it is imported": "import sys; sys.exit(3)",
    "imports what is not installed": "import nonsense_that_is_not_there",
    "has no such class": "",
    "lies about its name": GOOD.replace('name = "stranger"', 'name = "safetensors"'),
    "needs arguments": GOOD + "    def __init__(self, wanted): pass\n",
    "lacks a method": GOOD.replace("def check", "def chekc"),
    "requires nonsense": GOOD.replace("format_version = 1", "format_version = 1\n    requires = None"),
    "requires a part of what is missing": GOOD.replace(
        "format_version = 1", "format_version = 1; requires = ['no.such']"
    ),
}


@pytest.mark.parametrize("why", NOT_LOADED)
def test_a_backend_that_does_not_load_is_named_and_breaks_no_other(why: str, tmp_path: Path) -> None:
    folder = install(tmp_path, NOT_LOADED[why])
    result = save(folder, tmp_path / "s")
    assert (result["error"], result["code"]) == ("UnknownBackendError", 7)
    assert result["listed"] == ["good@1"]
    found = listed_backends(folder, tmp_path)
    assert found["stranger"]["state"] == "failed"
    assert "failed to load" in str(found["stranger"]["problem"])
    assert {found[name]["state"] for name in ("numpy-rng", "safetensors", "tf-data", "sb3")} == {"usable"}


@pytest.mark.parametrize("change", ["no metadata", "entry point is nonsense"])
def test_a_distribution_that_is_broken_breaks_no_other(change: str, tmp_path: Path) -> None:
    folder = install(tmp_path, GOOD, metadata=change != "no metadata")
    if change == "entry point is nonsense":
        entry = folder / "stranger_backend-1.0.dist-info" / "entry_points.txt"
        entry.write_text("[ckptkit.backends]\nstranger = not a module at all !!\n")
    assert listed_backends(folder, tmp_path)["numpy-rng"]["state"] == "usable"
    save(folder, tmp_path / "s")


def saving(code: str) -> str:
    """Return the good backend, with some code at the beginning of its ``save``."""
    head = "def save(self, item, directory, *, context):\n        "
    return GOOD.replace(head, f"{head}{code}\n        ")


FAILS = {
    "raises in save": (saving("raise ValueError('oh\\nno')"), 7, "ValueError: oh"),
    "writes nothing": (GOOD.replace('(directory / "thing").write_text("x")', "pass"), 7, "wrote no file"),
    "returns nothing": (GOOD.replace("return SavedItem()", "return None"), 7, "NoneType"),
    "returns what is not JSON": (
        GOOD.replace("SavedItem()", "SavedItem(metadata={'x': object()})"), 2, "cannot be written as JSON"
    ),
    "returns a negative step": (GOOD.replace("SavedItem()", "SavedItem(step=-1)"), 7, "items.thing.step"),
    "is at another step": (GOOD.replace("SavedItem()", "SavedItem(step=7)"), 5, "step 7"),
    "raises in can_save": (GOOD.replace('return type(item).__name__ == "Thing"', "raise OSError"), 7, "no installed"),
    "raises in check": (GOOD.replace("return []", "raise KeyError('x')"), 7, "KeyError"),
    "finds its own files damaged": (
        GOOD.replace("return []", "from ckptkit.problem import Problem; return [Problem('bad', 'is bad', 'thing')]"),
        1, "is bad",
    ),
    "raises while it estimates": (GOOD + "    def estimate_bytes(self, item): raise KeyError('size')\n", 7, "KeyError"),
    "writes beside its folder": (saving("(directory.parent / 'stray').write_text('x')"), 5, "stray"),
    "makes a folder beside its own": (saving("(directory.parent / 'stray').mkdir()"), 5, "stray"),
    "writes into another item": (
        saving("(directory.parent / 'rng' / 'more').write_text('x')"), 5, "rng/more"
    ),
    "changes another item": (
        saving("(directory.parent / 'rng' / 'rng.json').write_text('{}')"), 5, "rng/rng.json"
    ),
    "writes a link": (GOOD.replace('.write_text("x")', '.symlink_to("/etc/hostname")'), None, ""),
    "writes a link to a folder": (saving("(directory / 'l').symlink_to('/etc')"), 5, "links"),
    "writes a device name": (GOOD.replace('"thing")', '"con")'), 5, "reserved"),
    "removes its folder": (saving("directory.rmdir(); return SavedItem()"), 7, "wrote no file"),
}  # fmt: skip


@pytest.mark.parametrize("why", FAILS)
def test_a_backend_that_misbehaves_while_saving_commits_nothing(why: str, tmp_path: Path) -> None:
    code, exit_code, word = FAILS[why]
    result = save(install(tmp_path, code), tmp_path / "s")
    assert result["listed"] == ["good@1"], result
    assert word in str(result["message"])
    assert "\n" not in str(result["message"])
    if exit_code is not None:
        assert result["code"] == exit_code, result


def test_a_backend_that_writes_where_the_next_item_will_be_is_refused(tmp_path: Path) -> None:
    folder = install(tmp_path, saving("(directory.parent / 'rng').mkdir()"))
    result = save(folder, tmp_path / "s", "{'thing': Thing(), 'rng': np.random.default_rng(2)}")
    assert (result["code"], result["listed"]) == (5, ["good@1"])


def test_a_backend_that_draws_random_numbers_while_it_saves_is_refused(tmp_path: Path) -> None:
    folder = install(tmp_path, saving("import random; random.random()"))
    result = save(folder, tmp_path / "s", "{'thing': Thing(), 'rng': __import__('ckptkit_numpy').GlobalRng()}")
    assert (result["error"], result["code"], result["listed"]) == ("BackendError", 7, ["good@1"])
    assert "changed the random generators" in str(result["message"])


def test_without_a_global_item_nobody_minds(tmp_path: Path) -> None:
    folder = install(tmp_path, saving("import random; random.random()"))
    assert save(folder, tmp_path / "s")["saved"] is True


def test_a_check_that_raises_is_a_finding_and_the_rest_is_still_verified(tmp_path: Path) -> None:
    store = tmp_path / "s"
    save(install(tmp_path, GOOD), store)
    (tmp_path / "stranger_backend.py").write_text(GOOD.replace("return []", "raise KeyError('x')"))
    done = run(tmp_path, "-m", "ckptkit.cli.main", "--store", store, "verify", "--format", "json")
    assert done.returncode == 7, done.stderr
    results = {c["ref"]: [p["code"] for p in c["problems"]] for c in json.loads(done.stdout)["checkpoints"]}
    assert results == {"bad@1": ["backend-failed"], "good@1": []}


def test_a_backend_that_is_gone_leaves_its_checkpoint_unproven_and_all_others_good(tmp_path: Path) -> None:
    store = tmp_path / "s"
    save(install(tmp_path, GOOD), store)
    (tmp_path / "empty").mkdir()
    done = run(tmp_path / "empty", "-m", "ckptkit.cli.main", "--store", store, "verify", "--format", "json")
    assert done.returncode == 7
    results = {c["ref"]: [p["code"] for p in c["problems"]] for c in json.loads(done.stdout)["checkpoints"]}
    assert results == {"bad@1": ["backend-missing"], "good@1": []}
    at_digest = run(tmp_path / "empty", "-m", "ckptkit.cli.main", "--store", store, "verify", "--level", "digest")
    assert at_digest.returncode == 0


def test_two_backends_of_one_name_are_both_refused(tmp_path: Path) -> None:
    folder = install(tmp_path, GOOD)
    other = folder / "other_backend-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other-backend\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text("[ckptkit.backends]\nstranger = stranger_backend:Backend\n")
    assert "two distributions" in str(listed_backends(folder, tmp_path)["stranger"]["problem"])


def test_a_backend_cannot_be_recognised_by_a_plugin_that_raises(tmp_path: Path) -> None:
    code = GOOD + (
        "    def recognise(self, path): raise KeyError('x')\n"
        "    def describe(self, directory, *, context): return SavedItem()\n"
    )
    folder = install(tmp_path, code)
    rng = '{"bit_generator": "PCG64", "state": {"state": 1, "inc": 1}, "has_uint32": 0, "uinteger": 0}'
    (tmp_path / "rng.json").write_text(rng)
    arguments = ["-m", "ckptkit.cli.main", "--store", str(tmp_path / "s"), "save", "r", "--step", "1"]
    done = run(folder, *arguments, f"rng={tmp_path / 'rng.json'}")
    assert done.returncode == 0, done.stderr
    arguments[-1] = "2"
    done = run(folder, *arguments, f"rng:stranger={tmp_path / 'rng.json'}")
    assert done.returncode == 7
    assert "KeyError" in done.stderr
    assert "Traceback" not in done.stderr


MENTIONS = GOOD.replace("class Thing", "from ckptkit.errors import BackendError\n\nclass Thing").replace(
    "return SavedItem()", 'raise BackendError("the thing has no wheels")'
)


def test_an_error_names_its_item_even_where_its_reason_has_the_same_word(tmp_path: Path) -> None:
    assert save(install(tmp_path, MENTIONS), tmp_path / "s")["message"] == "item 'thing': the thing has no wheels"
