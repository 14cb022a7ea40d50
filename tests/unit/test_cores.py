"""How many cores there are to use: the control groups around a process may allow less than the machine has."""

import os
from pathlib import Path

import pytest

from ckptkit import cores


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "allowed", lambda: 8)


def grouped(tmp_path: Path, memberships: str, **limits: str) -> int:
    (tmp_path / "memberships").write_text(memberships)
    for name, text in limits.items():
        path = tmp_path / "groups" / name.replace("__", "/").replace("DOT", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return cores.available(tmp_path / "memberships", tmp_path / "groups")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
def test_a_process_bound_to_one_core_has_one() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert cores.available() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.usefixtures("eight")
def test_without_control_groups_all_cores_that_are_allowed_count(tmp_path: Path) -> None:
    assert cores.available(tmp_path / "missing", tmp_path) == 8


@pytest.mark.usefixtures("eight")
def test_a_quota_counts_and_a_part_of_a_core_counts_as_one(tmp_path: Path) -> None:
    assert grouped(tmp_path, "0::/job\n", job__cpuDOTmax="250000 100000\n") == 3


@pytest.mark.usefixtures("eight")
def test_the_quota_of_a_group_further_out_counts_too(tmp_path: Path) -> None:
    assert grouped(tmp_path, "0::/a/b\n", a__b__cpuDOTmax="max 100000\n", a__cpuDOTmax="200000 100000\n") == 2


@pytest.mark.usefixtures("eight")
def test_control_groups_of_version_one_count_and_minus_one_is_no_limit(tmp_path: Path) -> None:
    limits = {"cpu,cpuacct__cpuDOTcfs_quota_us": "-1\n", "cpu,cpuacct__cpuDOTcfs_period_us": "100000\n"}
    limits |= {"cpu,cpuacct__job__cpuDOTcfs_quota_us": "150000\n", "cpu,cpuacct__job__cpuDOTcfs_period_us": "50000\n"}
    assert grouped(tmp_path, "4:memory:/other\n3:cpu,cpuacct:/job\n", **limits) == 3


@pytest.mark.usefixtures("eight")
def test_control_groups_are_asked_once_not_for_each_checkpoint(tmp_path: Path) -> None:
    assert grouped(tmp_path, "0::/job\n", job__cpuDOTmax="200000 100000\n") == 2
    (tmp_path / "groups" / "job" / "cpu.max").unlink()
    assert cores.available(tmp_path / "memberships", tmp_path / "groups") == 2
