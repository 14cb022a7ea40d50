"""The gate counted: every payload at every place is flagged at save and verify, every honest file is left alone."""

from pathlib import Path

import pytest

from benchmarks import gate_counts

pytestmark = [pytest.mark.matrix, pytest.mark.filterwarnings("ignore")]  # frameworks warn of tiny models and old APIs


def test_every_payload_is_flagged_and_none_runs(tmp_path: Path) -> None:
    assert gate_counts.dangerous(tmp_path, live=True, verbose=True)


def test_every_honest_file_is_left_alone(tmp_path: Path) -> None:
    assert gate_counts.honest_files(tmp_path, verbose=False)
