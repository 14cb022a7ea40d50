"""The page about integrity: all 74 cases are on it, once, and each names tests that there are."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "explanation" / "integrity-model.md"
ROWS = [line.strip("| ").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
CASES = {int(row[0]): row for row in ROWS if row[0].isdecimal()}
_TEST = re.compile(r"`([a-z_/0-9]+\.py)::(test_\w+)`")


@cache
def _tests(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_all_74_cases_have_a_row_each() -> None:
    assert [int(row[0]) for row in ROWS if row[0].isdecimal()] == list(range(1, 75))


@pytest.mark.parametrize("number", CASES)
def test_a_case_has_an_outcome_and_names_tests_that_there_are(number: int) -> None:
    _, what, outcome, shown = CASES[number]
    assert what
    assert outcome
    named = _TEST.findall(shown)
    assert named
    assert shown == ", ".join(f"`{file}::{test}`" for file, test in named), "nothing but tests stands there"


def test_every_test_that_the_page_names_exists() -> None:
    named = _TEST.findall(PAGE.read_text(encoding="utf-8"))
    assert len(named) > 74
    assert [f"{file}::{test}" for file, test in named if test not in _tests(file)] == []
