"""A disk that is full, or fails to flush: the save fails with the reason, and older checkpoints are as they were."""

import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ckptkit import CheckpointStore
from ckptkit.errors import DiskFullError, StoreError

CHILD = """
import json, os, resource, sys
import numpy as np
from ckptkit import CheckpointStore
from ckptkit.errors import CkptkitError

store = CheckpointStore(sys.argv[1])
store.save("r", 1, {"w": {"a": np.arange(8.0)}, "rng": np.random.default_rng(1)})
calls = []
TROUBLE
result = {}
try:
    store.save("r", 2, {"w": {"a": np.arange(100_000.0)}, "rng": np.random.default_rng(2)})
    result["saved"] = True
except CkptkitError as error:
    result |= {"error": type(error).__name__, "code": error.exit_code, "message": error.message}
result["calls"] = calls
RELIEF
result["steps"] = [one.at.step for one in store.list()]
result["good"] = store.verify().exit_code
result["left"] = len(list((store.storage.root / "r" / ".ckptkit" / "staging").glob("*")))
store.save("r", 2, {"rng": np.random.default_rng(2)})
print(json.dumps(result))
"""


def with_trouble(tmp_path: Path, trouble: str, relief: str = "") -> dict[str, object]:
    code = CHILD.replace("TROUBLE", trouble).replace("RELIEF", relief)
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "s"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["steps"], result["good"], result["left"]) == ([1], 0, 0)
    return dict(result)


@pytest.mark.parametrize("limit", [16, 2048, 40_000, 400_000])
def test_a_disk_that_fills_up_during_the_save_loses_nothing(limit: int, tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes every write beyond the limit fail with EFBIG, as a full disk does with ENOSPC."""
    result = with_trouble(
        tmp_path,
        "before = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, before[1]))",
        "resource.setrlimit(resource.RLIMIT_FSIZE, before)",
    )
    assert "saved" not in result
    assert result["code"] in (7, 10), result


@pytest.mark.parametrize("number", range(1, 9))
def test_a_failed_flush_is_a_failed_save_and_is_not_tried_again(number: int, tmp_path: Path) -> None:
    result = with_trouble(
        tmp_path,
        "real = os.fsync\n"
        "def failing(fd):\n"
        "    calls.append(os.readlink(f'/proc/self/fd/{fd}'))\n"
        f"    if len(calls) == {number}: raise OSError(5, 'Input/output error')\n"
        "    return real(fd)\n"
        "os.fsync = failing",
        "os.fsync = real",
    )
    calls = result["calls"]
    assert isinstance(calls, list)
    assert result["error"] == "StoreError"
    assert "Input/output error" in str(result["message"])
    assert calls.count(calls[number - 1]) == calls[:number].count(calls[number - 1]), "flushed again after it failed"


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EMFILE])
def test_a_rename_that_fails_is_a_failed_save(code: int, tmp_path: Path) -> None:
    result = with_trouble(
        tmp_path,
        "real = os.rename\n"
        f"def failing(a, b, **more): raise OSError({code}, os.strerror({code}), str(a), None, str(b))\n"
        "os.rename = failing",
        "os.rename = real",
    )
    assert result["code"] == 10
    assert os.strerror(code) in str(result["message"])


def huge_file(path: Path, size: int) -> None:
    """A sparse safetensors file whose header claims all of its terabytes."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    os.truncate(path, 8 + len(header) + size)


def test_what_cannot_fit_fails_before_anything_is_written(tmp_path: Path) -> None:
    huge = tmp_path / "huge.safetensors"
    huge_file(huge, 4 << 40)
    store = CheckpointStore(tmp_path / "store")
    with pytest.raises(DiskFullError, match=r"needs about 4\.4 TB, only .* are free, .* are missing") as caught:
        store.save("r", 1, {"w": huge})
    assert caught.value.exit_code == 10
    assert not (tmp_path / "store").exists()


def test_a_huge_live_item_fails_before_anything_is_written(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    huge = np.broadcast_to(np.zeros(1), (1 << 40,))
    with pytest.raises(DiskFullError, match="missing"):
        store.save("r", 1, {"w": {"a": huge}})
    assert not (tmp_path / "store").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user: covered by the test below")
def test_a_store_that_cannot_be_written_by_root_either(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        CheckpointStore("/proc/1/nothing").save("r", 1, {"rng": np.random.default_rng(1)})


def as_nobody(work: str, store: Path) -> str:
    """Run code as a user who may not write, in a fork that has all modules loaded already."""
    code = (
        "import os, sys, numpy as np\n"
        "from ckptkit import CheckpointStore, registry\n"
        "from ckptkit.errors import CkptkitError\n"
        "from ckptkit.retention import RetentionPolicy\n"
        "import ckptkit.environment, ckptkit_numpy.live, ckptkit_numpy.live_trees\n"
        "registry.backends()\n"
        "warm = CheckpointStore(sys.argv[1] + '-warm')\n"
        "warm.save('r', 1, {'rng': np.random.default_rng(1)})\n"
        "warm.verify()\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "store = CheckpointStore(sys.argv[1])\n"
        "try:\n"
        f"    print({work})\n"
        "except CkptkitError as error:\n"
        "    print(type(error).__name__, error.exit_code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(store)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A store below /tmp itself: pytest's folders are for one user only."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        store = Path(folder) / "s"
        for step in (1, 2):
            CheckpointStore(store).save("r", step, {"rng": np.random.default_rng(step)})
        for path in [store, *store.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield store
        for path in [store, *store.rglob("*")]:
            path.chmod(0o755)


def test_a_read_only_store_is_listed_and_verified(read_only: Path) -> None:
    assert as_nobody("[one.at.step for one in store.list()], store.verify().exit_code", read_only) == "[1, 2] 0"


@pytest.mark.parametrize(
    "work",
    [
        "store.save('r', 3, {'rng': np.random.default_rng(1)})",
        "store.prune(store.plan_prune(RetentionPolicy(keep_last=1)))",
        "store.pin('r@1')",
        "store.tag('r@1', 'x')",
        "store.undelete('r@1')",
    ],
)
def test_a_read_only_store_is_a_clear_error_for_what_writes(work: str, read_only: Path) -> None:
    assert as_nobody(work, read_only) == "StoreError 10"
    assert CheckpointStore(read_only).verify().exit_code == 0


@pytest.mark.parametrize(
    "work", ["list(store.list())", "store.verify()", "store.save('r', 3, {'rng': np.random.default_rng(1)})"]
)
def test_a_store_that_cannot_be_read_is_a_clear_error(work: str, read_only: Path) -> None:
    read_only.chmod(0)
    assert as_nobody(work, read_only) == "StoreError 10"


def test_a_file_that_cannot_be_read_is_a_finding(read_only: Path) -> None:
    (read_only / "r" / "step-00000002" / "rng" / "rng.json").chmod(0)
    codes = "[[p.code for p in c.problems] for c in store.verify().checkpoints]"
    assert as_nobody(codes, read_only) == "[[], ['file-unreadable']]"
