"""What many tests share: a store with checkpoints of all four kinds, written once per session by the real libraries."""

import atexit
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import four_kinds
import pytest
from in_memory import _stores_in_memory as _stores_in_memory
from object_servers import azure as azure
from object_servers import azure_server as azure_server
from object_servers import gcs as gcs
from object_servers import gcs_server as gcs_server
from object_servers import s3 as s3
from object_servers import s3_server as s3_server
from object_servers import sftp as sftp
from object_servers import sftp_server as sftp_server

# The same examples on every machine, and none fails because the machine is busy: neither an example that took long nor
# (``too_slow``) the making of one. `make lowest` runs without hypothesis what needs none.
with contextlib.suppress(ImportError):
    import hypothesis

    hypothesis.settings.register_profile(
        "seeded", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("seeded")
# A test that wants a rehearsal in the background says so: many runs of these tests have a resume command.
os.environ["CKPTKIT_BACKGROUND"] = "never"
# No test reads or writes the ledger of whoever runs it.
if "CKPTKIT_CACHE" not in os.environ:
    os.environ["CKPTKIT_CACHE"] = tempfile.mkdtemp(prefix="ckptkit-cache-")
    atexit.register(shutil.rmtree, os.environ["CKPTKIT_CACHE"], ignore_errors=True)


@pytest.fixture(scope="session")
def written_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that nobody may change; ``four_kinds_store`` is a copy of it."""
    root = tmp_path_factory.mktemp("four_kinds") / "store"
    done = subprocess.run([sys.executable, four_kinds.__file__, str(root)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def four_kinds_store(written_once: Path, tmp_path: Path) -> Path:
    """A store of its own with ``ppo/run1`` at the steps 10 and 20."""
    return Path(shutil.copytree(written_once, tmp_path / "store"))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a test by its argument, not by bytes: those of a zip hold the time, and workers must agree on the names."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(autouse=True)
def _no_seed_of_another_test() -> Iterator[None]:
    """Take back TensorFlow's global seed, which Keras sets: a new process builds another dataset without it."""
    yield
    if tensorflow := sys.modules.get("tensorflow"):
        tensorflow.random.set_seed(None)
