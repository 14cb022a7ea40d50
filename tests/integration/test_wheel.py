"""The wheel built from this tree holds everything: the laws of a backend pass against it, not against the tree."""

import json
import os
import shlex
import shutil
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


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel is installed, as pip does it, with the third-party backend of the examples beside it."""
    folder = tmp_path_factory.mktemp("site")
    other = ROOT / "examples" / "third_party_backend"
    python("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "wheels"), cwd=other)
    wheels = [str(wheel), *map(str, (folder / "wheels").glob("*.whl"))]
    python("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder / "site"), *wheels)
    return folder / "site"


def remedies(site: Path) -> dict[str, str]:
    """What is said of missing frameworks where none is installed."""
    light = ROOT / ".venv-light" / "bin" / "python"
    if not light.exists():
        pytest.fail(f"{light} is missing: run `make setup`")
    command = [str(light), "-m", "ckptkit.cli.main", "backends", "--format", "json"]
    done = subprocess.run(
        command, cwd=site, capture_output=True, text=True, timeout=60, env=os.environ | {"PYTHONPATH": str(site)}
    )
    assert done.returncode == 0, done.stderr
    return {b["name"]: b["remedy"] for b in json.loads(done.stdout)["backends"] if b["missing"]}


def test_what_a_wheel_says_to_install_are_the_missing_packages_themselves(site: Path) -> None:
    said = remedies(site)
    assert said["numpy-rng"] == "pip install 'numpy>=2.0'"
    assert shlex.split(said["safetensors"])[2:] == ["isal>=1.9", "numpy>=2.0", "safetensors>=0.8", "torch>=2.13"]
    assert shlex.split(said["sklearn"])[2:] == ["scikit-learn>=1.6", "skops>=0.13"]
    for command in said.values():
        assert not [word for word in shlex.split(command) if word.startswith(("-", ".", "ckptkit"))], command


@pytest.mark.parametrize("editable", [True, False])
def test_what_a_clone_says_to_install_names_the_clone_wherever_one_is(
    editable: bool, site: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "a clone"
    clone.mkdir()
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, clone)
    target = shutil.copytree(site, tmp_path / "site")
    [info] = target.glob("ckptkit-*.dist-info")
    (info / "direct_url.json").write_text(json.dumps({"url": clone.as_uri(), "dir_info": {"editable": editable}}))
    words = ["pip", "install", "-c", f"{clone}/constraints.txt", *(["-e"] if editable else []), f"{clone}[numpy]"]
    assert shlex.split(remedies(target)["numpy-rng"]) == words
    shutil.rmtree(clone)
    assert remedies(target)["numpy-rng"] == "pip install 'numpy>=2.0'", "a clone that is gone cannot be named"


@pytest.fixture(scope="module")
def target(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel is installed."""
    folder = tmp_path_factory.mktemp("site")
    python("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder), str(wheel))
    return folder


FROM_THE_EXAMPLES = """
import sys
from ckptkit_data.tester import DatasetLeakageTester
from ckptkit_hooks.sb3_episode_files import find_checkpoint, list_checkpoints, load_agent
from ckptkit_hooks.sb3_episodes import EpisodeCheckpoints
from ckptkit_numpy import read_state, write_state
from ckptkit_tfdata import PersistentIterator
from ckptkit_tfdata.indexed import IndexedRecords, shuffled_indices
print(*{name.partition(".")[0] for name in sys.modules} & {"torch", "tensorflow", "stable_baselines3", "numpy"})
print(sys.modules["ckptkit_hooks"].__file__)
"""


def test_what_others_need_of_the_examples_is_in_the_wheel_and_imports_no_framework(
    target: Path, tmp_path: Path
) -> None:
    heavy, place = python("-c", FROM_THE_EXAMPLES, cwd=tmp_path, PYTHONPATH=str(target)).splitlines()
    assert (heavy, place) == ("", f"{target}/ckptkit_hooks/__init__.py")


@pytest.mark.slow
def test_the_laws_of_a_backend_pass_against_the_installed_wheel(target: Path, tmp_path: Path) -> None:
    laws = tmp_path / "laws"
    laws.mkdir()
    own = ROOT / "tests" / "conformance"
    for path in [*own.glob("*numpy*.py"), own / "changed_generators.py"]:
        (laws / path.name).write_text(path.read_text())
    where = "import ckptkit, ckptkit_numpy; print(ckptkit.__file__, ckptkit_numpy.__file__)"
    assert python("-c", where, cwd=laws, PYTHONPATH=str(target)).count(str(target)) == 2
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "error",
        "--rootdir",
        str(laws),
        "-o",
        "markers=matrix",
        "-m",
        "not matrix",
    ]
    assert " passed" in python("-m", "pytest", *options, str(laws), cwd=laws, PYTHONPATH=str(target))
