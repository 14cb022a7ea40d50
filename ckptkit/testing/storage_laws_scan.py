"""Laws about what a scan finds: names only, in order, whatever strangers left there."""

import pytest

from ckptkit.layouts import SIDECAR
from ckptkit.storage.interface import Entry, Storage
from ckptkit.storage.newest_first import newest_first, newest_of
from ckptkit.testing.storage_hooks import FILES, RUN, StorageHooks, content, listed, manifest, one_line, only, whole


class ScanLaws(StorageHooks):
    """Every checkpoint is found where it lies, and nothing else."""

    def test_a_scan_is_ordered_by_run_and_by_step_as_a_number(self, storage: Storage) -> None:
        """In whatever order they were saved."""
        for run, step in (("b", 10), ("a/z", 3), ("b", 9), ("a", 100), ("b", 1000000000), ("a", 20)):
            self.commit(storage, f"step-{step:08d}", run=run)
        assert listed(storage) == ["a@20", "a@100", "a/z@3", "b@9", "b@10", "b@1000000000"]

    def test_the_newest_come_first_where_they_are_asked_for_so(self, storage: Storage) -> None:
        """Whether it can or is scanned: the same checkpoints, the last first, of one run or of each."""
        for run, step in (("b", 10), ("a/z", 3), ("b", 9), ("a", 100), ("a", 20)):
            self.commit(storage, f"step-{step:08d}", run=run)
        self.sidecar(storage, "ep000050", {"ep000050.bin": b"x"}, run="a")
        found = {run: [entry.ref for entry in entries] for run, entries in newest_first(storage)}
        assert {run: refs for run, refs in found.items() if refs} == {
            "a": ["a@100", "a@50", "a@20"],
            "a/z": ["a/z@3"],
            "b": ["b@10", "b@9"],
        }
        assert [entry.ref for entry in newest_of(storage, "b")] == ["b@10", "b@9"]
        assert list(newest_of(storage, "no/such/run")) == []

    def test_a_scan_of_a_run_finds_no_runs_inside_it(self, storage: Storage) -> None:
        """``a/z`` is another run than ``a``."""
        self.commit(storage, run="a")
        self.commit(storage, run="a/z")
        self.commit(storage, run="az")
        assert [listed(storage, run) for run in ("a", "a/z", "az")] == [["a@5"], ["a/z@5"], ["az@5"]]

    def test_a_scan_below_a_name_finds_that_run_and_the_runs_in_it(self, storage: Storage) -> None:
        """``az`` is not in ``a``, and where nothing is there is nothing."""
        for run in ("a", "a/z", "a/z/y", "az"):
            self.commit(storage, run=run)
        found = {below: [entry.ref for entry in storage.scan(below=below)] for below in ("a", "a/z", "b")}
        assert found == {"a": ["a@5", "a/z@5", "a/z/y@5"], "a/z": ["a/z@5", "a/z/y@5"], "b": []}

    def test_a_run_that_is_not_there_has_nothing(self, storage: Storage) -> None:
        """It is no error to ask."""
        self.commit(storage, run="a")
        assert (listed(storage, "b"), storage.at_step("b", 5), storage.removed("b")) == ([], [], [])
        assert (storage.has_run("a"), storage.has_run("b")) == (True, False)
        assert storage.leftovers("b", 0) == []

    def test_the_store_itself_may_be_the_run(self, storage: Storage) -> None:
        """Named ``.``, and scanned with the runs in it."""
        entry = self.commit(storage, run=".")
        self.commit(storage, run="a")
        whole(entry)
        assert (listed(storage, "."), listed(storage)) == ([".@5"], [".@5", "a@5"])

    def test_a_run_of_sixteen_parts_is_found(self, storage: Storage) -> None:
        """That is the most that a name may have."""
        run = "/".join("abcdefghijklmnop")
        self.commit(storage, run=run)
        assert listed(storage) == [f"{run}@5"]

    def test_all_that_claim_a_step_are_found_at_it(self, storage: Storage) -> None:
        """Whatever they are called; 15 and 50 are other steps."""
        for name in ("step-00000005", "checkpoint-5", "step-00000015", "step-00000050", "step-00000500"):
            self.commit(storage, name)
        assert {entry.name for entry in storage.at_step(RUN, 5)} == {"step-00000005", "checkpoint-5"}
        assert storage.at_step(RUN, 7) == []

    def test_what_has_no_manifest_is_found_by_our_names_only(self, storage: Storage) -> None:
        """An interrupted copy is shown as incomplete; any other folder is somebody else's."""
        self.stranger_writes(storage, f"{RUN}/step-00000003/rng/rng.json", b"x")
        self.stranger_writes(storage, f"{RUN}/checkpoint-4/rng/rng.json", b"x")
        entry = only(storage.scan(RUN), "checkpoints")
        assert (entry.name, entry.identity is None) == ("step-00000003", False)
        assert storage.at_step(RUN, 3) == [entry]
        with pytest.raises(FileNotFoundError):
            storage.read(entry, entry.manifest_file, 10)

    def test_names_of_strangers_are_found_and_read(self, storage: Storage) -> None:
        """A folder that was copied in may have a name that no run can have."""
        run, name = "r un@é ✓", "dossier d'été ✓-7"
        for path, data in {**FILES, "manifest.json": manifest("r", name, FILES)}.items():
            self.stranger_writes(storage, f"{run}/{name}/{path}", data)
        entry = only(storage.scan(), "checkpoints")
        assert (entry.run, entry.name, entry.step) == (run, name, 7)
        assert content(entry) == {**FILES, "manifest.json": manifest("r", name, FILES)}
        with storage.locked(run, "change"):
            removed = storage.remove(entry)
        assert (listed(storage), storage.removed(run)) == ([], [removed])

    def test_a_copied_checkpoint_belongs_to_the_run_that_it_lies_in(self, storage: Storage) -> None:
        """By place, whatever its manifest says."""
        for path, data in {**FILES, "manifest.json": manifest("first", "step-00000005", FILES)}.items():
            self.stranger_writes(storage, f"second/step-00000005/{path}", data)
        assert listed(storage) == ["second@5"]

    def test_a_manifest_beside_flat_files_is_a_checkpoint(self, storage: Storage) -> None:
        """Its files share the run's folder with those of others."""
        flat = {"ep000050.bin": b"weights", "ep000050.json": b"{}"}
        entry = self.sidecar(storage, "ep000050", flat)
        self.commit(storage)
        assert [(one.name, one.layout.shared) for one in storage.scan(RUN)] == [
            ("step-00000005", False),
            ("ep000050", True),
        ]
        assert storage.at_step(RUN, 50) == [entry]
        for path, data in flat.items():
            assert storage.read(entry, path, 100) == data
        assert storage.read(entry, entry.manifest_file, 1 << 20) == manifest(RUN, "ep000050", flat)

    def test_what_a_store_keeps_for_itself_is_never_listed(self, storage: Storage) -> None:
        """Trash, states, locks and what is staged."""
        storage.remove(self.commit(storage))
        storage.replace_state(RUN, "refs.json", b"{}")
        with storage.locked(RUN, "change"), storage.stage(RUN) as staging:
            (staging.folder / "manifest.json").write_bytes(b"{}")
            assert listed(storage) == []
        assert list(storage.unlisted(RUN)) == []

    def test_an_entry_says_where_it_is_in_one_line(self, storage: Storage) -> None:
        """For a person: with the run and the names in it."""
        entry = self.commit(storage)
        beside = Entry(RUN, "ep000050", SIDECAR, storage)
        for text, words in (
            (entry.where, [RUN, "step-00000005"]),
            (storage.where(entry, "rng/rng.json"), [RUN, "step-00000005", "rng/rng.json"]),
            (beside.where, [RUN, "ep000050.manifest.json"]),
            (storage.where_state(RUN, "refs.json"), [RUN, "refs.json"]),
        ):
            assert one_line(text)
            assert [word for word in words if word not in text] == []
