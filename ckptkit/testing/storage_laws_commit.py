"""Laws about how a checkpoint comes to be: all of it in one step, at a name that is free."""

from pathlib import Path

import pytest

from ckptkit.errors import CkptkitError, ConflictError, DiskFullError, RunNameError
from ckptkit.manifest.names import MANIFEST_NAME
from ckptkit.storage.interface import Storage
from ckptkit.testing.storage_hooks import (
    FILES,
    RUN,
    StorageHooks,
    content,
    folder_entry,
    listed,
    manifest,
    only,
    whole,
    write_into,
)
from ckptkit.testing.threads import at_once, meanwhile

OTHER = {**FILES, "rng/rng.json": b'{"state": 2}'}
EXABYTE = 1 << 60


class CommitLaws(StorageHooks):
    """Staged, sealed, committed; or as if nothing had been tried."""

    def test_what_is_committed_is_there_byte_for_byte(self, storage: Storage) -> None:
        """The entry that a commit returns is the one that a scan finds."""
        entry = self.commit(storage)
        whole(entry)
        found = only(storage.scan(RUN), "checkpoints")
        assert (found, found.step, found.layout.shared) == (entry, 5, False), f"a scan finds {found}, not {entry}"

    def test_nothing_is_listed_before_the_commit(self, storage: Storage) -> None:
        """Neither what is staged nor what is sealed is a checkpoint."""
        with storage.stage(RUN) as staging:
            write_into(staging.folder, FILES)
            assert listed(storage) == [], "what is staged is listed"
            staging.seal(manifest(RUN, "step-00000005", FILES))
            assert listed(storage) == [] == storage.at_step(RUN, 5), "what is sealed and not committed is listed"
            staging.commit("step-00000005")
            assert listed(storage) == [f"{RUN}@5"]

    def test_what_is_not_committed_is_gone(self, storage: Storage) -> None:
        """Whether the block ends or fails."""
        with storage.stage(RUN) as staging:
            write_into(staging.folder, FILES)
            staging.seal(manifest(RUN, "step-00000005", FILES))
            one = staging.folder
        staged = []

        def fail() -> None:
            with storage.stage(RUN) as staging:
                write_into(staging.folder, FILES)
                staged.append(staging.folder)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert listed(storage) == []
        assert not one.exists(), "the staging folder outlived its block"
        assert not staged[0].exists(), "the staging folder outlived an error"
        assert storage.leftovers(RUN, 0) == []

    def test_a_staging_folder_is_empty_and_nobody_elses(self, storage: Storage) -> None:
        """Two saves of a run do not meet before they commit."""
        with storage.stage(RUN) as one, storage.stage(RUN) as other:
            write_into(one.folder, FILES)
            assert list(other.folder.iterdir()) == []

    def test_a_second_commit_at_the_name_is_a_conflict_and_changes_nothing(self, storage: Storage) -> None:
        """Create-only: there is no way to commit over a checkpoint by accident."""
        entry = self.commit(storage)
        before = entry.identity
        with pytest.raises(ConflictError):
            self.commit(storage, files=OTHER)
        whole(entry)
        assert entry.identity == before
        assert storage.removed(RUN) == []

    def test_a_file_in_the_way_is_a_conflict(self, storage: Storage) -> None:
        """Whoever wrote it."""
        self.stranger_writes(storage, f"{RUN}/step-00000005/manifest.json", b"mine")
        with pytest.raises(ConflictError):
            self.commit(storage)
        assert content(folder_entry(storage, "step-00000005")) == {MANIFEST_NAME: b"mine"}

    def test_of_many_commits_at_one_name_exactly_one_wins(self, storage: Storage) -> None:
        """All others are told; what is there is all of one of them."""
        for step in range(1, 9):
            self._one_wins(storage, f"step-{step:08d}")

    def _one_wins(self, storage: Storage, name: str) -> None:
        def commit(number: int) -> int | None:
            try:
                self.commit(storage, name, files=_of(number))
            except ConflictError:
                return None
            return number

        won = [number for number in at_once(commit, 6) if number is not None]
        assert len(won) == 1, f"{len(won)} of 6 commits at one name succeeded"
        whole(folder_entry(storage, name), _of(won[0]))

    def test_who_looks_sees_all_of_a_commit_or_nothing(self, storage: Storage) -> None:
        """Another process that lists the run at any moment finds no half checkpoint."""

        def look() -> None:
            for entry in list(storage.scan(RUN)):
                whole(entry)

        with meanwhile(look):
            for step in range(1, 16):
                self.commit(storage, f"step-{step:08d}")

    def test_what_is_replaced_goes_to_the_trash(self, storage: Storage) -> None:
        """Whole, so that it can come back."""
        old = self.commit(storage)
        new = self.commit(storage, files=OTHER, replaces=old)
        whole(new, OTHER)
        removed = only(storage.removed(RUN), "checkpoints in the trash")
        storage.remove(new)
        storage.bring_back(removed)
        whole(old)

    def test_while_one_replaces_another_one_of_them_is_there(self, storage: Storage) -> None:
        """At every moment: a resume that begins just then finds a checkpoint."""
        entry = self.commit(storage)
        both = {manifest(RUN, entry.name, files) for files in (FILES, OTHER)}

        def look() -> None:
            assert storage.at_step(RUN, 5), "for a moment there was no checkpoint"
            assert storage.read(entry, MANIFEST_NAME, 1 << 20) in both

        with meanwhile(look):
            for number in range(24):
                self.commit(storage, files=(OTHER, FILES)[number % 2], replaces=entry)

    def test_a_replacement_of_what_is_not_there_changes_nothing(self, storage: Storage) -> None:
        """It was removed meanwhile: whoever replaces must look again."""
        gone = self.commit(storage)
        storage.remove(gone)
        with pytest.raises(CkptkitError):
            self.commit(storage, files=OTHER, replaces=gone)
        assert listed(storage) == []
        assert len(storage.removed(RUN)) == 1

    @pytest.mark.parametrize("run", ["..", "../up", "a/../b", "/abs", "a//b", "", "a@1", ".hidden", "a/step-00000001"])
    def test_an_unsafe_run_name_is_refused(self, storage: Storage, run: str) -> None:
        """Before anything is looked at or written."""
        for refuses in (
            lambda: storage.has_run(run),
            lambda: list(storage.scan(run)),
            lambda: storage.at_step(run, 1),
            lambda: storage.run_folder(run),
            lambda: storage.prepare(run, needed=0),
            lambda: self.commit(storage, run=run),
        ):
            with pytest.raises(RunNameError):
                refuses()

    def test_a_run_inside_a_checkpoint_is_refused(self, storage: Storage) -> None:
        """What is saved there would never be listed."""
        self.commit(storage, "checkpoint-5")
        storage.require_reachable(f"{RUN}/more")
        with pytest.raises(CkptkitError):
            storage.require_reachable(f"{RUN}/checkpoint-5/more")

    def test_prepare_leaves_nothing_behind(self, storage: Storage) -> None:
        """It does what a save does, in small, and takes it back."""
        storage.prepare(RUN, needed=1000)
        assert listed(storage) == []
        assert storage.leftovers(RUN, 0) == [] == storage.removed(RUN)
        whole(self.commit(storage))

    def test_what_cannot_fit_is_told_before_it_is_written(self, storage: Storage) -> None:
        """An exabyte."""
        storage.require_space(RUN, 1)
        with pytest.raises(DiskFullError):
            storage.require_space(RUN, EXABYTE)
        with pytest.raises(DiskFullError):
            storage.prepare(RUN, needed=EXABYTE)

    def test_two_stores_are_told_apart(self, storage: Storage, tmp_path: Path) -> None:
        """What is known of one is never believed of the other."""
        self.commit(storage)
        other = self.make_storage(tmp_path / "other")
        self.commit(other)
        assert storage.same_store == storage.same_store
        assert storage.same_store != other.same_store
        assert storage.url != other.url


def _of(number: int) -> dict[str, bytes]:
    return {**FILES, "rng/rng.json": bytes([number]), f"own/{number}": b"x"}
