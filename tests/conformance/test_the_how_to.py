"""The code in docs/how-to/write-a-backend.md is a distribution that passes the conformance kit as it stands."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from ckptkit.testing import BackendTests

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-backend.md"


def the_page_in(folder: Path) -> str:
    """Write the files of the page into a folder, as a person would, and return its last block of Python: the probe."""
    blocks = re.findall(r"^```(python|toml)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    framework, backend, kit, probe = [code for language, code in blocks if language == "python"]
    (project,) = [code for language, code in blocks if language == "toml"]
    points = tomllib.loads(project)["project"]["entry-points"]
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in points.items()]
    installed = folder / "my_package-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("".join(lines))
    (folder / "tallies.py").write_text(framework)
    (folder / "my_package.py").write_text(backend)
    (folder / "test_tally.py").write_text(kit)
    return str(probe)


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


KIT = ("pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "--rootdir", ".", ".")


def test_the_backend_of_the_how_to_keeps_every_law(tmp_path: Path) -> None:
    the_page_in(tmp_path)
    done = run(tmp_path, *KIT)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert re.search(r"^3\d passed", done.stdout, re.MULTILINE), done.stdout[-500:]


def test_the_probe_of_the_how_to_keeps_the_laws_of_probes_and_is_replayed(tmp_path: Path) -> None:
    probe = the_page_in(tmp_path)
    with (tmp_path / "my_package.py").open("a") as module:
        module.write(probe)
    for name in ("test_tally.py", "my_package-1.0.dist-info/entry_points.txt"):
        path = tmp_path / name
        path.write_text(path.read_text().replace("TallyBackend", "ProvenTallyBackend"))
    done = run(tmp_path, *KIT, "-k", "probe or proof or prove")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert re.search(r"^[4-9] passed", done.stdout, re.MULTILINE), done.stdout[-500:]
    (tmp_path / "save.py").write_text(
        "from ckptkit import CheckpointStore\nfrom tallies import Tally\ntally = Tally()\ntally.next()\n"
        "CheckpointStore('checkpoints').save('t/run1', 1, {'tally': tally})\n"
    )
    assert run(tmp_path, "save").returncode == 0
    done = run(tmp_path, "ckptkit.cli.main", "verify", "t/run1", "--level", "resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "replayed 3 counts, the same" in done.stdout


def test_naming_a_heavy_module_takes_none_of_the_usual_ones_away() -> None:
    class Mine(BackendTests):
        heavy_modules = ("tallies",)

    assert {"tallies", "torch", "tensorflow"} <= set(Mine.all_heavy_modules())
