"""Laws about a snapshot: it is the item as it was, whatever becomes of the item before it is written."""

import threading
from pathlib import Path

import pytest

from ckptkit.backend import Pending, SaveContext, SavedItem, SnapshotContext, SupportsSnapshot
from ckptkit.testing import generators
from ckptkit.testing.hooks import BackendHooks
from ckptkit.testing.limits import in_time
from ckptkit.testing.outputs import same_output, short
from ckptkit.testing.tree import changes, picture


class SnapshotLaws(BackendHooks):
    """Each law is skipped for a backend that takes no snapshots; such a one's items are written while the run waits."""

    def test_a_snapshot_writes_what_a_save_writes(self, tmp_path: Path) -> None:
        """The same files byte for byte, and the same words, from another thread."""
        item = self._midway()
        expected = self.save_to(tmp_path / "saved", item, step=1).said
        said = self._written(self._snapshot(item), tmp_path / "snapshot")
        self._assert_alike(tmp_path)
        assert said == expected, f"write() says {short(said)}, save() {short(expected)}"

    def test_a_snapshot_stays_as_it_was_when_the_item_goes_on(self, tmp_path: Path) -> None:
        """Nothing that the item changes in place is in the snapshot, and nothing of the snapshot in the item."""
        expected = self._saved_and_used(tmp_path)
        item = self._midway()
        pending = self._snapshot(item)
        self.assert_same_outputs(expected, self.outputs(item), "after a snapshot")
        self._written(pending, tmp_path / "snapshot")
        self._assert_alike(tmp_path)

    def test_two_snapshots_share_no_memory(self, tmp_path: Path) -> None:
        """One may be taken while another is still to be written."""
        self._saved_and_used(tmp_path)
        item = self._midway()
        first = self._snapshot(item)
        self.outputs(item)
        second = self._snapshot(item)
        self._written(first, tmp_path / "snapshot")
        self._assert_alike(tmp_path)
        self._written(second, tmp_path / "second")

    def test_a_snapshot_draws_nothing_and_changes_nothing(self) -> None:
        """Neither of the item nor of the generators of the process."""
        expected = self.outputs(self._midway())
        item = self._midway()
        with generators.seeded():
            before = generators.states()
            self._snapshot(item)
            drawn = [name for name, state in generators.states().items() if not same_output(before[name], state)]
            assert not drawn, f"snapshot() draws from the generators of the process: {', '.join(drawn)}"
        self.assert_same_outputs(expected, self.outputs(item), "after a snapshot")

    def test_memory_of_a_snapshot_may_hold_anything_before(self, tmp_path: Path) -> None:
        """It was used by the snapshot before."""
        item = self._midway()
        self.save_to(tmp_path / "saved", item, step=1)
        self._written(self._snapshot(item, held=b"\xa5"), tmp_path / "snapshot")
        self._assert_alike(tmp_path)

    def _midway(self) -> object:
        if not isinstance(self.backend(), SupportsSnapshot):
            pytest.skip(f"{self.backend.name} takes no snapshots")
        item = self.make_item()
        self.outputs(item, 1)
        return item

    def _saved_and_used(self, folder: Path) -> list[object]:
        """Save an item midway, and return what it then does: of what a process has once there cannot be two."""
        item = self._midway()
        self.save_to(folder / "saved", item, step=1)
        return self.outputs(item)

    def _snapshot(self, item: object, *, held: bytes = b"\0") -> Pending:
        backend = self.backend()
        context = SnapshotContext(
            step=1, factories=self.factories(), memory=lambda size: memoryview(bytearray(held * size))
        )
        with in_time(self.limit_seconds, "snapshot()"):
            pending: Pending = backend.snapshot(item, context=context)
        return pending

    def _written(self, pending: Pending, directory: Path) -> SavedItem:
        directory.mkdir()
        said: list[SavedItem] = []
        context = SaveContext(step=1, factories=self.factories())
        thread = threading.Thread(target=lambda: said.append(pending.write(directory, context=context)))
        thread.start()
        thread.join(self.limit_seconds)
        assert said, "write() failed in a thread of its own"
        return said[0]

    def _assert_alike(self, folder: Path) -> None:
        different = changes(picture(folder / "saved"), picture(folder / "snapshot"))
        assert not different, f"what a snapshot wrote is not what save() writes: {different}"
