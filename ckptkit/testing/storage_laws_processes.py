"""Laws about other processes, for stores that they can open: crashes leave nothing half, and a hold dies with them."""

import subprocess
import sys
import time

import pytest

from ckptkit.errors import LockedError
from ckptkit.storage.interface import Storage
from ckptkit.testing.storage_hooks import FILES, RUN, StorageHooks, listed, one_line, whole

_OPEN = """\
import os, sys
from ckptkit.storage import open_storage
storage = open_storage(sys.argv[1])
"""
_LOOK = """\
print(storage.url, storage.same_store, *(f"{at.ref} {at.identity}" for at in storage.scan()), sep="\\n")
"""
_DIE_STAGING = """\
if storage.same_store != sys.argv[3]:
    sys.exit("another store has this URL there")
with storage.stage(sys.argv[2]) as staging:
    (staging.folder / "half.bin").write_bytes(b"x" * 1000)
    staging.seal(b"{}")
    os._exit(9)
"""
_HOLD = """\
storage.hold(sys.argv[2])
print("holds", flush=True)
sys.stdin.read()
"""


class ProcessLaws(StorageHooks):
    """Skipped where the store does not outlive its process."""

    @pytest.fixture
    def shared(self, storage: Storage) -> Storage:
        """A store that other processes can open."""
        if not storage.outlives:
            pytest.skip("no other process can open the store")
        return storage

    def test_its_url_opens_it_again(self, shared: Storage) -> None:
        """The same store, with what is in it."""
        entry = self.commit(shared)
        code = _OPEN + _LOOK
        done = subprocess.run([sys.executable, "-c", code, shared.url], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [shared.url, shared.same_store, f"{entry.ref} {entry.identity}"]

    def test_a_process_that_dies_while_it_saves_leaves_nothing_that_is_listed(self, shared: Storage) -> None:
        """What it leaves is found and removed, once the grace time is over; the name is free."""
        command = [sys.executable, "-c", _OPEN + _DIE_STAGING, shared.url, RUN, shared.same_store]
        assert subprocess.run(command, timeout=60, check=False).returncode == 9
        assert (listed(shared), shared.removed(RUN)) == ([], [])
        assert shared.leftovers(RUN, 3600) == []
        time.sleep(0.02)
        for leftover in shared.leftovers(RUN, 0):
            shared.purge(leftover)
        assert shared.leftovers(RUN, 0) == []
        whole(self.commit(shared), FILES)

    def test_a_run_that_another_process_holds_is_refused_until_it_dies(self, shared: Storage) -> None:
        """The message is one line; nothing has to be cleaned up after a kill."""
        command = [sys.executable, "-c", _OPEN + _HOLD, shared.url, RUN]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            try:
                assert other.stdout is not None
                assert other.stdout.readline() == "holds\n"
                with pytest.raises(LockedError) as caught:
                    shared.hold(RUN)
                assert one_line(str(caught.value))
                shared.hold("another")
                shared.release("another")
            finally:
                other.kill()
        shared.hold(RUN)
        shared.release(RUN)
