"""`--scratch DIR[,SIZE]`: where copies of what lies on a service are checked, and how much there may be at once."""

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from command_line import PROGRAM, inside, refused
from object_servers import Server

from ckptkit import CheckpointStore
from ckptkit.errors import DiskFullError
from ckptkit.storage import scratch_space

pytest.importorskip("torch", reason="items of safetensors need it")

BIG, SMALL = 30_000, 100  # numbers of eight bytes


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    scratch_space.otherwise(lambda: None)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store on a service with a checkpoint of two items, a big one and a small one."""
    where = f"memory://{uuid.uuid4().hex}/store"
    saved(where, 1)
    return where


@pytest.fixture
def there(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def saved(url: str, step: int, big: int = BIG) -> None:
    items = {"big": {"w": np.arange(big, dtype=float)}, "small": {"w": np.arange(SMALL, dtype=float)}}
    CheckpointStore(url).save("run", step, items)


def test_an_item_that_does_not_fit_is_told_and_the_others_are_checked(url: str, there: Path) -> None:
    done = inside("--store", url, "verify", "--no-cache", "--scratch", f"{there},10kB", "--format", "json")
    assert done.returncode != 0
    assert "a copy takes 240." in done.stdout
    assert "scratch space is 10.0 kB" in done.stdout
    assert "'small'" not in done.stdout.partition("problems")[2]
    assert inside("--store", url, "verify", "--no-cache", "--scratch", f"{there},10MB").returncode == 0
    assert list(there.iterdir()) == []


def test_its_digests_are_known_without_any(url: str, there: Path) -> None:
    done = inside("--store", url, "verify", "--no-cache", "--level", "digest", "--scratch", f"{there},1kB")
    assert done.returncode == 0


def test_the_environment_and_the_configuration_say_it_too(url: str, there: Path, tmp_path: Path) -> None:
    variable = {"CKPTKIT_SCRATCH": f"{there},10kB"}
    assert inside("--store", url, "verify", "--no-cache", env=variable).returncode != 0
    Path(tmp_path, "ckptkit.yaml").write_text("scratch: scratch,10kB\n")
    assert inside("--store", url, "verify", "--no-cache", cwd=tmp_path).returncode != 0
    wide = ("--scratch", f"{there},1GB")
    assert inside("--store", url, "verify", "--no-cache", *wide, cwd=tmp_path, env=variable).returncode == 0
    shown = inside("config", "show", "--format", "json", cwd=tmp_path).stdout
    assert f"{there},10kB" in shown


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("missing", "is no folder"),
        ("", "is empty"),
        ("{there},much", "not a size"),
        ("{there},0", "not a sensible size"),
    ],
)
def test_what_is_no_space_is_refused(url: str, there: Path, said: str, why: str) -> None:
    refused(inside("--store", url, "verify", "--scratch", said.format(there=there)), 2, why)


def test_threads_wait_for_each_other_and_one_alone_never_waits(there: Path) -> None:
    scratch_space.use(scratch_space.ScratchSpace(there, 100))
    most, now = 0, 0

    def work(size: int) -> None:
        nonlocal most, now
        with scratch_space.taken(size):
            now += size
            most = max(most, now)
            time.sleep(0.002)
            now -= size

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [60, 40, 70, 30, 100, 10] * 5))
    assert 60 < most <= 100
    with scratch_space.taken(60), pytest.raises(DiskFullError, match="60 bytes are in use"), scratch_space.taken(41):
        pass
    with pytest.raises(DiskFullError, match="a copy takes 101 bytes"), scratch_space.taken(101):
        pass


def test_nothing_stays_after_ctrl_c(s3: Server, there: Path) -> None:
    url = s3.place()
    saved(url, 1, big=3_000_000)
    for delay in (0.0, 0.05):
        process = subprocess.Popen(
            [*PROGRAM, "--store", url, "verify", "--no-cache", "--scratch", str(there)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(os.environ),
        )
        while process.poll() is None and not any(there.iterdir()):
            time.sleep(0.001)
        assert process.poll() is None, "it ended before anything was seen there"
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) in (130, 0)
        assert list(there.iterdir()) == []
