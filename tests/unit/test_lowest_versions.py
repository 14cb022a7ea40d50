"""Every lower bound that is declared is a version that was run: by `make lowest`, or by all other tests."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BOUND = re.compile(r"([A-Za-z0-9_.-]+)>=([0-9.]+)")


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if "==" in line and not line.startswith("#")]
    return {_plain(package): version for package, version in pairs}


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def bounds() -> Iterator[tuple[str, str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    everything = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    for requirement in everything:
        if not requirement.startswith("ckptkit["):
            match = _BOUND.fullmatch(requirement)
            assert match, f"{requirement}: has no lower bound"
            yield _plain(match[1]), match[2]


def test_every_lower_bound_is_a_version_that_was_run() -> None:
    lowest, current = pins("constraints-lowest.txt"), pins("constraints.txt")
    for name, bound in bounds():
        run = lowest.get(name) or current[name]
        assert f"{run}.".startswith(f"{bound}."), f"{name}>={bound} is declared, and the lowest that was run is {run}"


def test_the_lowest_versions_are_those_of_what_is_declared() -> None:
    tools = {"pytest"}
    assert set(pins("constraints-lowest.txt")) - tools <= {name for name, _ in bounds()}


def test_the_core_has_no_bound_that_is_not_run_at_its_lowest() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {_plain(requirement.partition(">=")[0]) for requirement in project["dependencies"]}
    assert names <= set(pins("constraints-lowest.txt"))
