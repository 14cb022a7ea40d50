"""The test file in docs/how-to/write-a-storage.md runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

from ckptkit.testing import StorageHooks, StorageTests

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-storage.md"


def test_the_test_file_of_the_how_to_runs_every_law(tmp_path: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "test_my_storage.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "--rootdir", ".", "."]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    laws = sum(name.startswith("test_") for name in dir(StorageTests))
    passed = int(re.search(r"^(\d+) passed", done.stdout, re.MULTILINE)[1])  # type: ignore[index]  # or the test fails
    assert passed >= laws, "laws with parameters count more than once; three are for stores that outlive a process"


def test_the_page_names_every_hook() -> None:
    hooks = {name for name, one in vars(StorageHooks).items() if not name.startswith("_")}
    helpers = {"storage", "commit", "sidecar"}
    text = PAGE.read_text(encoding="utf-8")
    assert {name for name in hooks - helpers if f"`{name}" not in text} == set()
