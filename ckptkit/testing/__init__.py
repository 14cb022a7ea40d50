"""The conformance kits: subclass ``BackendTests`` in a test file, and pytest checks that a backend keeps the laws.

::

    from ckptkit.testing import BackendTests

    class TestTally(BackendTests):
        backend = TallyBackend

        def make_item(self):
            return Tally(start=0)

        def advance(self, item):
            return item.next()

A store is held against ``StorageTests`` likewise; ``MemoryStorage`` is a second store that keeps all of its laws.

The hooks work on the live object itself and never go through the backend: a kit that asks the code under test whether
the code under test is right learns nothing. This is the only room that imports pytest.
"""

from ckptkit.testing.hooks import BackendHooks, Saved
from ckptkit.testing.laws_damage import DamageLaws
from ckptkit.testing.laws_files import FileLaws
from ckptkit.testing.laws_identity import IdentityLaws
from ckptkit.testing.laws_ingest import IngestLaws
from ckptkit.testing.laws_powers import PowerLaws
from ckptkit.testing.laws_probe import ProbeLaws
from ckptkit.testing.laws_restore import RestoreLaws
from ckptkit.testing.laws_resume import ResumeLaws
from ckptkit.testing.laws_snapshot import SnapshotLaws
from ckptkit.testing.memory_storage import MemoryStorage
from ckptkit.testing.storage_hooks import StorageHooks
from ckptkit.testing.storage_laws import StorageTests

__all__ = ["BackendHooks", "BackendTests", "MemoryStorage", "Saved", "StorageHooks", "StorageTests"]


class BackendTests(
    IdentityLaws, FileLaws, ResumeLaws, RestoreLaws, DamageLaws, ProbeLaws, IngestLaws, SnapshotLaws, PowerLaws
):
    """Every law of the backend contract, as tests. See ``BackendHooks`` for what a subclass fills in."""
