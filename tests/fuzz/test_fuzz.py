"""Every reader of files by strangers is fuzzed for a minute: no traceback, no file takes 10 seconds or 300 MB."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from fuzzing import Outcome, fuzz_all
from readers import READERS

pytestmark = pytest.mark.matrix
SECONDS = int(os.environ.get("CKPTKIT_FUZZ_SECONDS", "60"))
SHORTER = dict.fromkeys(("others", "trainers"), SECONDS // 2)
"""Formats that are looked at and not taken apart, and files that the other readers have read."""
LENGTHS = {**dict.fromkeys(READERS, SECONDS), **SHORTER}
LEAST = 5
"""Executions in a second: fewer would mean that something else was tested."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[Outcome]]]:
    """All of them, two at a time: the machine that this is for has two cores."""
    pytest.importorskip("atheris", reason="atheris has no wheel for this machine or this Python")
    with ThreadPoolExecutor(2) as pool:
        yield fuzz_all(LENGTHS, tmp_path_factory.mktemp("fuzz"), 1, pool)


@pytest.mark.parametrize("reader", READERS)
def test_a_minute_of_fuzzing_finds_nothing(reader: str, outcomes: Mapping[str, Future[Outcome]]) -> None:
    outcome = outcomes[reader].result()
    print(outcome)
    assert outcome.code == 0, outcome.said
    assert outcome.executions >= LEAST * LENGTHS[reader], outcome.said
    assert outcome.slowest < 10
    assert outcome.mebibytes < 300


def test_what_the_fuzzer_runs_fails_where_a_reader_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("atheris", reason="atheris has no wheel for this machine or this Python")
    monkeypatch.setenv("CKPTKIT_FUZZ_BREAK", "1")
    with ThreadPoolExecutor(1) as pool:
        outcome = fuzz_all({"sstable": 10}, tmp_path, 1, pool)["sstable"].result()
    assert outcome.code != 0
    assert "broken on purpose" in outcome.said
    assert [path.name[:6] for path in (tmp_path / "sstable").glob("crash-*")] == ["crash-"]
