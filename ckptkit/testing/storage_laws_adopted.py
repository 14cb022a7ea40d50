"""Laws about checkpoints of trainers: a manifest beside their folder makes one, and nothing of theirs is lost."""

import pytest

from ckptkit.errors import ConflictError, RefusedError, StoreError
from ckptkit.layouts import ADOPTED
from ckptkit.layouts.adopted import adopted_name
from ckptkit.storage.interface import Entry, Storage
from ckptkit.testing.storage_hooks import RUN, StorageHooks, listed, manifest

MAIN = "checkpoint-50"
WROTE = {f"{MAIN}/model.bin": b"weights", f"{MAIN}/deep/state.json": b"{}", "log-50.json": b"[]"}


class AdoptedLaws(StorageHooks):
    """A trainer's folder goes and comes back as a whole; what no manifest lists stays."""

    def adopted(self, storage: Storage, main: str = MAIN, step: int = 50) -> Entry:
        """Make a checkpoint of what a trainer wrote into the run's folder."""
        for path, data in WROTE.items():
            self.stranger_writes(storage, f"{RUN}/{path.replace(MAIN, main)}", data)
        at = Entry(RUN, adopted_name(main, step), ADOPTED, storage)
        files = {path.replace(MAIN, main): data for path, data in WROTE.items()}
        storage.put(at, at.manifest_file, manifest(RUN, at.name, files), replace=False)
        return at

    def test_what_a_trainer_wrote_is_found_with_its_step(self, storage: Storage) -> None:
        """By the name of the manifest beside it; its folder is no run."""
        entry = self.adopted(storage)
        assert [(one.name, one.step, one.layout.kind) for one in storage.scan()] == [(entry.name, 50, "adopted")]
        assert [one.name for one in storage.at_step(RUN, 50)] == [entry.name]
        for path, data in WROTE.items():
            assert storage.read(entry, path, 100) == data
            assert storage.stat(entry, path).size == len(data)
        assert sorted(storage.names(entry, MAIN)) == sorted(path for path in WROTE if "/" in path)
        with storage.fetch(entry, list(WROTE)) as folder:
            assert {path: (folder / path).read_bytes() for path in WROTE} == WROTE

    def test_stamps_are_of_all_that_lies_in_a_trainers_folder(self, storage: Storage) -> None:
        """What is added there is seen as well."""
        entry = self.adopted(storage)
        before = storage.stamps(entry, WROTE)
        assert before is None or before.keys() == {entry.manifest_file, *WROTE}
        self.stranger_writes(storage, f"{RUN}/{MAIN}/more.bin", b"x")
        assert before is None or storage.stamps(entry, WROTE) != before

    def test_a_trainers_folder_goes_and_comes_back_as_a_whole(self, storage: Storage) -> None:
        """With its manifest and what lies beside; its neighbour stays."""
        entry = self.adopted(storage)
        self.commit(storage)
        removed = storage.remove(entry, list(WROTE))
        assert (listed(storage), removed.step) == ([f"{RUN}@5"], 50)
        for path in WROTE:
            with pytest.raises(FileNotFoundError):
                storage.read(entry, path, 10)
        storage.bring_back(removed)
        assert listed(storage) == [f"{RUN}@5", f"{RUN}@50"]
        assert {path: storage.read(entry, path, 100) for path in WROTE} == WROTE

    def test_a_trainers_folder_with_a_file_that_is_not_listed_stays(self, storage: Storage) -> None:
        """With all that is in it, and its manifest."""
        entry = self.adopted(storage)
        self.stranger_writes(storage, f"{RUN}/{MAIN}/deep/thesis.txt", b"mine")
        with pytest.raises(RefusedError, match=r"thesis\.txt"):
            storage.remove(entry, list(WROTE))
        assert storage.read(entry, f"{MAIN}/deep/thesis.txt", 100) == b"mine"
        assert {path: storage.read(entry, path, 100) for path in WROTE} == WROTE
        assert listed(storage) == [f"{RUN}@50"]

    def test_it_does_not_come_back_into_a_folder_that_its_trainer_wrote_since(self, storage: Storage) -> None:
        """Two checkpoints in one folder would be neither."""
        entry = self.adopted(storage)
        removed = storage.remove(entry, list(WROTE))
        self.stranger_writes(storage, f"{RUN}/{MAIN}/new.bin", b"new")
        with pytest.raises(ConflictError):
            storage.bring_back(removed)
        assert sorted(storage.names(entry, MAIN)) == [f"{MAIN}/new.bin"]

    def test_an_adopted_manifest_moves_no_checkpoint_of_ours(self, storage: Storage) -> None:
        """Whatever paths it lists."""
        entry = self.adopted(storage)
        other = self.commit(storage)
        storage.replace_state(RUN, "refs.json", b"{}")
        away = [f"{other.name}/manifest.json", ".ckptkit/refs.json", "../../thesis.txt"]
        storage.remove(entry, [*WROTE, *away])
        assert listed(storage) == [f"{RUN}@5"]
        assert storage.read_state(RUN, "refs.json", 10) == b"{}"

    def test_what_its_trainer_removed_is_no_checkpoint(self, storage: Storage) -> None:
        """Its manifest is an orphan, until it is forgotten."""
        orphan = Entry(RUN, "checkpoint-40@40", ADOPTED, storage)
        storage.put(orphan, orphan.manifest_file, manifest(RUN, orphan.name, {"checkpoint-40/a": b"x"}), replace=False)
        entry = self.adopted(storage)
        assert (listed(storage), orphan.identity) == ([f"{RUN}@50"], None)
        assert [one.name for one in storage.orphans(RUN)] == [orphan.name]
        storage.forget(orphan)
        assert storage.orphans(RUN) == []
        assert entry.identity is not None

    def test_what_is_forgotten_leaves_the_trainers_files(self, storage: Storage) -> None:
        """The manifest and what was noted beside it go."""
        entry = self.adopted(storage)
        for path in entry.notes:
            storage.put(entry, path, b"{}", replace=True)
        storage.forget(entry)
        for path in (entry.manifest_file, *entry.notes):
            with pytest.raises(FileNotFoundError):
                storage.read(entry, path, 10)
        assert {path: storage.read(entry, path, 100) for path in WROTE} == WROTE

    def test_files_outside_the_store_are_adopted_or_refused_in_words(self, storage: Storage) -> None:
        """A store that is on no file system has no folder to adopt from."""
        self.commit(storage)
        try:
            there = storage.run_folder(RUN)
        except StoreError:
            with pytest.raises(StoreError):
                storage.adopted_from(RUN)
        else:
            assert storage.adopted_from(RUN) == there
