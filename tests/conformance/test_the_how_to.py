"""The code in docs/how-to/write-a-backend.md is a distribution that passes the conformance kit as it stands."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-backend.md"
TALLIES = """
class Tally:
    count = 0

    def next(self):
        self.count += 1
        return self.count
"""


def test_the_backend_of_the_how_to_keeps_every_law(tmp_path: Path) -> None:
    blocks = re.findall(r"^```(python|toml)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    backend, kit = [code for language, code in blocks if language == "python"]
    (registration,) = [code for language, code in blocks if language == "toml"]
    points = tomllib.loads(registration)["project"]["entry-points"]
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in points.items()]
    installed = tmp_path / "my_package-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("".join(lines))
    (tmp_path / "tallies.py").write_text(TALLIES)
    (tmp_path / "my_package.py").write_text(backend)
    (tmp_path / "test_tally.py").write_text(kit)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "--rootdir", ".", "."]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert re.search(r"^3\d passed", done.stdout, re.MULTILINE), done.stdout[-500:]
