"""The wheel built from this tree holds everything: the laws of a backend pass against it, not against the tree."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def python(*arguments: str, cwd: Path = ROOT, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=300, env=os.environ | variables
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    python("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    packages = {p.name for p in (ROOT / "plugins").iterdir() if (p / "__init__.py").exists()} | {"ckptkit"}
    assert {top for top in tops if not top.endswith(".dist-info")} == packages
    assert "ckptkit/py.typed" in names
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests/")]


@pytest.mark.slow
def test_the_laws_of_a_backend_pass_against_the_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    python("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    laws = tmp_path / "laws"
    laws.mkdir()
    for path in (ROOT / "tests" / "conformance").glob("*numpy*.py"):
        (laws / path.name).write_text(path.read_text())
    where = "import ckptkit, ckptkit_numpy; print(ckptkit.__file__, ckptkit_numpy.__file__)"
    assert python("-c", where, cwd=laws, PYTHONPATH=str(target)).count(str(target)) == 2
    options = ["-q", "-p", "no:cacheprovider", "-W", "error", "--rootdir", str(laws)]
    assert " passed" in python("-m", "pytest", *options, str(laws), cwd=laws, PYTHONPATH=str(target))
