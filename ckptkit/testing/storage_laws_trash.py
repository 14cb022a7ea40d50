"""Laws about removing: aside first, back whole, and for good only after a grace time."""

import time
from datetime import UTC, datetime

import pytest

from ckptkit.errors import CkptkitError, ConflictError, DamagedError
from ckptkit.storage.interface import Storage
from ckptkit.testing.storage_hooks import (
    FILES,
    RUN,
    StorageHooks,
    content,
    folder_entry,
    listed,
    manifest,
    one_line,
    only,
    whole,
)

HOUR = 3600.0
FLAT = {"ep000050.bin": b"weights", "ep000050.json": b"{}"}


class TrashLaws(StorageHooks):
    """Nothing is lost by a removal that somebody regrets in time."""

    def test_what_is_removed_is_in_the_trash_and_listed_no_more(self, storage: Storage) -> None:
        """With its step, its run, and when."""
        entry = self.commit(storage)
        self.commit(storage, "step-00000006")
        removed = storage.remove(entry)
        assert listed(storage) == [f"{RUN}@6"]
        assert storage.at_step(RUN, 5) == []
        assert storage.removed(RUN) == [removed]
        assert (removed.run, removed.step) == (RUN, 5)
        assert abs((datetime.now(UTC) - removed.removed_at).total_seconds()) < HOUR
        assert one_line(removed.where)
        assert storage.removed("another") == []

    def test_the_trash_of_all_runs_is_listed_at_once(self, storage: Storage) -> None:
        """Also of runs of which nothing else is left, the last removed first."""
        assert storage.removed() == []
        of_runs = [self.commit(storage, run=run) for run in (f"{RUN}/deeper", RUN, ".")]
        removed = [storage.remove(entry) for entry in of_runs]
        assert storage.removed() == removed[::-1]

    def test_it_comes_back_byte_for_byte(self, storage: Storage) -> None:
        """With what was noted beside it, and leaves the trash."""
        entry = self.commit(storage)
        for path in entry.notes:
            storage.put(entry, path, b"{}", replace=False)
        before = content(entry)
        storage.bring_back(storage.remove(entry))
        assert content(entry) == before
        assert (listed(storage), storage.removed(RUN)) == ([f"{RUN}@5"], [])

    def test_an_incomplete_one_is_removed_and_comes_back_as_it_was(self, storage: Storage) -> None:
        """Without a manifest."""
        self.stranger_writes(storage, f"{RUN}/step-00000003/rng/rng.json", b"x")
        entry = only(storage.scan(RUN), "checkpoints")
        removed = storage.remove(entry)
        assert (listed(storage), removed.step) == ([], 3)
        storage.bring_back(removed)
        assert content(entry) == {"rng/rng.json": b"x"}

    def test_it_does_not_come_back_over_another_one(self, storage: Storage) -> None:
        """Both stay where they are."""
        entry = self.commit(storage)
        removed = storage.remove(entry)
        other = {"rng/rng.json": b"another"}
        self.commit(storage, files=other)
        with pytest.raises(ConflictError):
            storage.bring_back(removed)
        whole(entry, other)
        assert storage.removed(RUN) == [removed]
        storage.remove(entry)
        storage.bring_back(removed)
        whole(entry)

    def test_the_last_removed_comes_first(self, storage: Storage) -> None:
        """Whatever its step."""
        for step in (3, 1, 2):
            storage.remove(self.commit(storage, f"step-{step:08d}"))
        assert [removed.step for removed in storage.removed(RUN)] == [2, 1, 3]

    def test_one_step_may_lie_there_more_than_once(self, storage: Storage) -> None:
        """Each comes back as itself."""
        for number in (1, 2):
            storage.remove(self.commit(storage, files={"rng/rng.json": bytes([number])}))
        _, first = storage.removed(RUN)
        storage.bring_back(first)
        whole(folder_entry(storage, "step-00000005"), {"rng/rng.json": b"\1"})
        assert len(storage.removed(RUN)) == 1

    def test_its_size_is_that_of_its_payload(self, storage: Storage) -> None:
        """Without ckptkit's own files; of flat files, too. None where a store does not say."""
        storage.remove(self.commit(storage))
        storage.remove(self.sidecar(storage, "ep000050", FLAT), list(FLAT))
        told = {one.step: one.size for one in storage.removed(RUN)}
        assert told[5] in (None, sum(map(len, FILES.values())))
        assert told[50] in (None, sum(map(len, FLAT.values())))

    def test_what_is_gone_cannot_be_removed(self, storage: Storage) -> None:
        """It is an error of the tree, and the trash holds it once."""
        entry = self.commit(storage)
        storage.remove(entry)
        with pytest.raises(CkptkitError):
            storage.remove(entry)
        assert [removed.step for removed in storage.removed(RUN) if removed.step is not None] == [5]

    def test_of_flat_files_those_that_are_listed_go_and_come_back(self, storage: Storage) -> None:
        """With their manifest; what others have there stays."""
        entry = self.sidecar(storage, "ep000050", FLAT)
        neighbour = self.sidecar(storage, "ep000051", {"ep000051.bin": b"neighbour"})
        removed = storage.remove(entry, list(FLAT))
        assert (listed(storage), removed.step) == ([f"{RUN}@51"], 50)
        for path in (*FLAT, entry.manifest_file):
            with pytest.raises(FileNotFoundError):
                storage.read(neighbour, path, 10)
        assert storage.read(neighbour, "ep000051.bin", 100) == b"neighbour"
        storage.bring_back(removed)
        assert listed(storage) == [f"{RUN}@50", f"{RUN}@51"]
        for path, data in {**FLAT, entry.manifest_file: manifest(RUN, "ep000050", FLAT)}.items():
            assert storage.read(entry, path, 1 << 20) == data

    def test_flat_files_do_not_come_back_over_new_ones(self, storage: Storage) -> None:
        """A trainer has written the file anew."""
        entry = self.sidecar(storage, "ep000050", FLAT)
        removed = storage.remove(entry, list(FLAT))
        self.stranger_writes(storage, f"{RUN}/ep000050.bin", b"new")
        with pytest.raises(ConflictError):
            storage.bring_back(removed)
        assert storage.read(entry, "ep000050.bin", 100) == b"new"
        assert (listed(storage), storage.removed(RUN)) == ([], [removed])

    def test_a_manifest_of_flat_files_moves_nothing_that_lies_elsewhere(self, storage: Storage) -> None:
        """Whatever paths it lists: only files right beside it are its own."""
        entry = self.sidecar(storage, "ep000050", {"ep000050.bin": b"x"})
        other = self.commit(storage)
        self.stranger_writes(storage, "thesis.txt", b"mine")
        storage.replace_state(RUN, "refs.json", b"{}")
        away = [f"{other.name}/rng/rng.json", "../../thesis.txt", ".ckptkit/refs.json", f"{other.name}/manifest.json"]
        storage.remove(entry, ["ep000050.bin", *away])
        whole(other)
        assert storage.read_state(RUN, "refs.json", 10) == b"{}"

    def test_finishing_removals_touches_nothing_that_is_whole(self, storage: Storage) -> None:
        """Neither what is listed nor what was removed completely."""
        kept = self.commit(storage, "step-00000006")
        beside = self.sidecar(storage, "ep000050", FLAT)
        removed = [storage.remove(self.commit(storage)), storage.remove(beside, list(FLAT))]
        self.stranger_writes(storage, f"{RUN}/ep000050.bin", b"new, and not what was removed")
        storage.finish_removals(RUN)
        storage.finish_removals(RUN, ["ep000050.json"])
        whole(kept)
        assert storage.read(beside, "ep000050.bin", 100) == b"new, and not what was removed"
        storage.bring_back(removed[0])
        whole(folder_entry(storage, "step-00000005"))

    def test_what_is_removed_with_others_is_gone_at_once_and_comes_back(self, storage: Storage) -> None:
        """Only what a power cut does is decided later, for all of them together."""
        entries = [self.commit(storage, f"step-{step:08d}") for step in (5, 6, 7)]
        removed = [storage.remove(entry, lasting=False) for entry in entries[:2]]
        assert listed(storage) == [f"{RUN}@7"]
        assert storage.removed(RUN) == removed[::-1]
        storage.make_last(removed)
        assert storage.removed(RUN) == removed[::-1]
        storage.bring_back(removed[0])
        whole(entries[0])

    def test_what_is_set_aside_is_in_the_trash_no_more(self, storage: Storage) -> None:
        """Nothing brings it back while it is purged, or if that is cut off."""
        removed = storage.remove(self.commit(storage))
        storage.remove(self.commit(storage, "step-00000006"))
        time.sleep(0.01)
        leftover = only([one for one in storage.leftovers(RUN, 0) if removed.key in one.key], "leftovers")
        sizes: list[int] = []
        aside = storage.set_aside(leftover)
        assert [one.step for one in storage.removed(RUN)] == [6]
        with pytest.raises(DamagedError):
            storage.bring_back(removed)
        storage.purge(aside, sizes.append)
        assert sum(sizes) >= sum(map(len, FILES.values()))
        assert [one.step for one in storage.removed(RUN)] == [6]

    def test_trash_is_left_over_after_the_grace_time_and_purged_for_good(self, storage: Storage) -> None:
        """Nothing comes back then, and nothing else is touched."""
        kept = self.commit(storage, "step-00000006")
        removed = storage.remove(self.commit(storage))
        assert storage.leftovers(RUN, HOUR) == []
        time.sleep(0.01)
        leftover = only(storage.leftovers(RUN, 0), "leftovers")
        assert leftover.run == RUN
        assert one_line(str(leftover))
        storage.purge(leftover)
        assert (storage.leftovers(RUN, 0), storage.removed(RUN)) == ([], [])
        with pytest.raises(DamagedError):
            storage.bring_back(removed)
        assert listed(storage) == [f"{RUN}@6"]
        whole(kept, FILES)
