"""Make a release: wheel and sdist, built in two folders to show that they come out the same, their digests, and SBOMs.

Only what is committed goes into it. The same commit gives the same bytes on any machine that has the versions of
``constraints.txt``: ``SOURCE_DATE_EPOCH`` is the time of the commit.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


def committed(folder: Path, commit: str = "HEAD") -> int:
    """Write what is committed into a new folder, and return when that was (seconds since 1970)."""
    folder.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    told = subprocess.run(
        ["git", "show", "--no-patch", "--format=%ct", commit], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return int(told.stdout)


def build(folder: Path, into: Path, epoch: int, surroundings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Build wheel and sdist of a folder; returns their SHA-256 by name.

    Args:
        folder: with ``pyproject.toml``.
        into: a folder, made if need be.
        epoch: the time that all files in them get.
        surroundings: more of the environment: none of it may make a difference.
    """
    into.mkdir(parents=True, exist_ok=True)
    variables = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), **(surroundings or {})}
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(into)]
    subprocess.run(command, cwd=folder, env=variables, check=True, stdout=subprocess.DEVNULL)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(into.iterdir())}


def installed(wheel: Path, folder: Path) -> Path:
    """Install a wheel with what it needs, by the lock, into a new environment; returns its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-deps"]
    subprocess.run([*pip, "--require-hashes", "--requirement", str(ROOT / "locks/core.txt")], check=True)
    subprocess.run([*pip, str(wheel)], check=True)
    subprocess.run([str(python), "-m", "ckptkit", "--version"], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    ours = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "uninstall", "--yes", "pip", "setuptools"]
    subprocess.run(ours, check=True)  # they are the environment's, and no part of it
    return python


def bill(cyclonedx: Path, python: Path, epoch: int, into: Path) -> None:
    """Write what is installed in an environment as CycloneDX JSON."""
    command = [str(cyclonedx), "environment", "--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "library"]
    command += ["--output-reproducible", "--output-format", "JSON", "--output-file", str(into), str(python)]
    subprocess.run(command, check=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)})
    said = json.loads(into.read_bytes())
    for component in said["components"]:  # where something lay on this machine is nobody's business
        references = component.get("externalReferences", [])
        component["externalReferences"] = [one for one in references if not one["url"].startswith("file:")]
    into.write_text(json.dumps(said, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def release(into: Path, cyclonedx: Path) -> Sequence[Path]:
    """Make everything, and return it; raises SystemExit where two builds differ."""
    shutil.rmtree(into, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / name for name in ("one", "another/place")]
        epoch = min([committed(folder) for folder in folders])
        found = [build(folder, out, epoch) for folder, out in zip(folders, (into, Path(scratch) / "out"), strict=True)]
        if found[0] != found[1]:
            raise SystemExit(f"two builds of one commit differ: {found}")
        wheel = next(into.glob("*.whl"))
        stem = "-".join(wheel.name.split("-")[:2])
        bill(cyclonedx, installed(wheel, Path(scratch) / "environment"), epoch, into / f"{stem}.cdx.json")
    bill(cyclonedx, Path(sys.executable), epoch, into / f"{stem}-everything.cdx.json")
    files = sorted(into.iterdir())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (into / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    return [*files, into / "SHA256SUMS"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--sbom", type=Path, required=True, metavar="CYCLONEDX", help="cyclonedx-py")
    given = parser.parse_args()
    for path in release(given.into.absolute(), given.sbom.absolute()):
        print(path)
