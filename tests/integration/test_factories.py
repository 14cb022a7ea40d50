"""Factories given to a save reach the backend of their item, by role, and no other's."""

import json
import subprocess
import sys
from pathlib import Path

from test_broken_plugins import GOOD, install

CODE = GOOD.replace(
    '.write_text("x")', '.write_text(" ".join(f"{k}={v()}" for k, v in sorted(context.factories.items())))'
)
SAVE = """
import json, sys
from ckptkit import CheckpointStore
from ckptkit.errors import UsageError

class Thing: pass

store = CheckpointStore(sys.argv[1])
items = {"one": Thing(), "other": Thing()}
saved = store.save("run", 1, items, factories={"one": {"env": lambda: 3, "model": lambda: 4}})
found = {name: (saved.path / name / "thing").read_text() for name in items}
try:
    store.save("run", 2, items, factories={"onee": {"env": lambda: 3}})
except UsageError as error:
    found["refused"] = error.message
print(json.dumps(found))
"""


def test_factories_of_a_save_reach_the_backend_of_their_item(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(install(tmp_path / "plugin", CODE)), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", SAVE, str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["one"] == "env=3 model=4"
    assert found["other"] == ""
    assert "'onee'" in found["refused"]
