"""The conformance kit for stores."""

from ckptkit.testing.storage_laws_adopted import AdoptedLaws
from ckptkit.testing.storage_laws_change import ChangeLaws
from ckptkit.testing.storage_laws_commit import CommitLaws
from ckptkit.testing.storage_laws_files import FileLaws
from ckptkit.testing.storage_laws_processes import ProcessLaws
from ckptkit.testing.storage_laws_run import RunLaws
from ckptkit.testing.storage_laws_scan import ScanLaws
from ckptkit.testing.storage_laws_trash import TrashLaws


class StorageTests(CommitLaws, ScanLaws, FileLaws, ChangeLaws, TrashLaws, AdoptedLaws, RunLaws, ProcessLaws):
    """Every law of the contract of a store, as tests. See ``StorageHooks`` for what a subclass fills in."""
