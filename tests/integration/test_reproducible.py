"""Two builds of one commit are the same to the byte, whatever the folder, the time, the user's mask and language."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.matrix, pytest.mark.skipif(not (ROOT / ".git").exists(), reason="what is committed is built")]


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, dict[str, str]]]:
    """Wheel and sdist of HEAD, built in two places that have nothing in common."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        from release import build, committed
    finally:
        sys.path.pop(0)
    found = []
    for name, mask, more in (
        ("one", 0o022, {"TZ": "UTC", "LC_ALL": "C.UTF-8"}),
        ("another/place with spaces", 0o077, {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7"}),
    ):
        folder = tmp_path_factory.mktemp("build") / name
        before = os.umask(mask)
        try:
            epoch = committed(folder)
            for path in folder.rglob("*"):
                os.utime(path, (len(name) * 1e8, len(name) * 1e8), follow_symlinks=False)
            out = folder.parent / f"{folder.name}-out"
            found.append((out, build(folder, out, epoch, more)))
        finally:
            os.umask(before)
    return found


def test_wheel_and_sdist_are_the_same_to_the_byte(builds: list[tuple[Path, dict[str, str]]]) -> None:
    (_, one), (_, other) = builds
    assert one == other
    assert sorted(Path(name).suffix for name in one) == [".gz", ".whl"]


def test_a_wheel_of_the_sdist_is_the_same_again(builds: list[tuple[Path, dict[str, str]]], tmp_path: Path) -> None:
    out = builds[0][0]
    with tarfile.open(next(out.glob("*.tar.gz"))) as archive:
        moments = {member.mtime for member in archive.getmembers()}
        archive.extractall(tmp_path, filter="data")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path / "out")]
    variables = {**os.environ, "SOURCE_DATE_EPOCH": str(int(moments.pop()))}
    subprocess.run(command, cwd=next(tmp_path.iterdir()), env=variables, check=True, capture_output=True)
    [wheel] = (tmp_path / "out").iterdir()
    assert wheel.read_bytes() == (out / wheel.name).read_bytes()
    assert moments == set(), "all files have the time of the commit"
    with zipfile.ZipFile(wheel) as members:
        assert "ckptkit/__main__.py" in members.namelist()
