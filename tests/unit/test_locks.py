"""The locks hold what constraints.txt pins, each with digests, and no host: `make locks` writes them anew."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("all", "core", "lerobot", "release")
_PINNED = re.compile(r"([A-Za-z0-9_.-]+)==([^ ;\\]+)")
_DIGEST = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")
ANEW = "run `make locks`"


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path: str) -> dict[str, str]:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    found = [match for line in lines if (match := _PINNED.match(line))]
    return {plain(match[1]): match[2] for match in found}


def test_the_lock_of_everything_is_constraints_without_torch() -> None:
    """Of torch there are builds with and without CUDA: its digest depends on where it comes from."""
    wanted = pins("constraints.txt")
    del wanted["torch"]
    assert pins("locks/all.txt") == wanted, ANEW


def test_the_lock_of_the_core_is_what_it_depends_on_as_constraints_pin_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found, constraints = pins("locks/core.txt"), pins("constraints.txt")
    assert {plain(re.split(r"[>=<]", need)[0]) for need in project["dependencies"]} | {"pip"} <= found.keys(), ANEW
    elsewhere = {"colorama"}  # on Windows
    assert {name: constraints.get(name) for name in found.keys() - elsewhere} == {
        name: version for name, version in found.items() if name not in elsewhere
    }, ANEW


def test_the_other_locks_hold_the_versions_that_were_asked_for() -> None:
    for asked, lock in (("requirements-lerobot.txt", "lerobot"), ("locks/release.in", "release")):
        assert pins(asked).items() <= pins(f"locks/{lock}.txt").items(), ANEW


@pytest.mark.parametrize("name", LOCKS)
def test_each_package_has_digests_and_nothing_else(name: str) -> None:
    lines = [line for line in (ROOT / f"locks/{name}.txt").read_text().splitlines() if not line.startswith("#")]
    without = [
        line
        for line, after in zip(lines, [*lines[1:], ""], strict=True)
        if _PINNED.match(line) and not _DIGEST.fullmatch(after)
    ]
    assert without == []
    assert [line for line in lines if not (_PINNED.match(line) or _DIGEST.fullmatch(line))] == []
    assert "://" not in "\n".join(lines), "where it comes from is the matter of whoever installs it"


def test_the_environments_are_made_by_the_locks() -> None:
    text = (ROOT / "Makefile").read_text()
    assert "LOCKED := -m pip --disable-pip-version-check --quiet install --no-deps --require-hashes" in text
    for name in LOCKS:
        assert f"$(LOCKED) locks/{name}.txt" in text
