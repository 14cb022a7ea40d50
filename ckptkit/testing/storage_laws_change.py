"""Laws about telling what changed: identities tell checkpoints apart, stamps tell states of files apart."""

import time

from ckptkit.storage.interface import Storage
from ckptkit.testing.storage_hooks import FILES, RUN, StorageHooks, folder_entry

SAME_SIZE = b'{"state": 2}'
_TICK = 0.02  # seconds; of the clock of a file system


class ChangeLaws(StorageHooks):
    """What is believed to be unchanged is unchanged."""

    def test_the_stamp_of_a_run_changes_when_a_checkpoint_comes_or_goes(self, storage: Storage) -> None:
        """Or is empty: then whoever wants to know has to look."""
        kept = self.commit(storage, "step-00000004")
        seen: list[str] = []

        def look() -> None:
            stamp = storage.run_stamp(RUN)
            assert not stamp or stamp not in seen, "the stamp is one that the run had before"
            assert stamp == storage.run_stamp(RUN), "the stamp changes by itself"
            seen.append(stamp)
            time.sleep(_TICK)

        look()
        entry = self.commit(storage)
        look()
        removed = storage.remove(entry)
        look()
        storage.bring_back(removed)
        look()
        storage.remove(kept)
        look()

    def test_an_identity_stays_while_the_checkpoint_stays(self, storage: Storage) -> None:
        """Whatever else happens in the run."""
        entry = self.commit(storage)
        before = entry.identity
        assert before is not None
        self.commit(storage, "step-00000006")
        storage.put(entry, entry.shown_file, b"{}", replace=True)
        storage.replace_state(RUN, "refs.json", b"{}")
        [found, _] = storage.scan(RUN)
        assert found.identity == before

    def test_an_identity_changes_when_another_is_put_in_its_place(self, storage: Storage) -> None:
        """Also with the same files: what was judged is not what is there."""
        entry = self.commit(storage)
        seen = {entry.identity}
        for _ in range(5):
            self.commit(storage, replaces=entry)
            assert entry.identity not in seen, "another checkpoint has the identity of one that was there before"
            seen.add(entry.identity)
            storage.remove(entry)
            assert entry.identity is None, "what is gone has an identity"
            self.commit(storage)
            assert entry.identity not in seen, "another checkpoint has the identity of one that was there before"
            seen.add(entry.identity)

    def test_what_is_gone_has_no_identity(self, storage: Storage) -> None:
        """Nor what never was."""
        entry = self.commit(storage)
        storage.remove(entry)
        assert entry.identity is None
        assert folder_entry(storage, "step-00000077").identity is None
        assert storage.owner(entry) is None

    def test_what_this_user_commits_belongs_to_this_user(self, storage: Storage) -> None:
        """Or nobody can tell."""
        assert storage.owner(self.commit(storage)) in (storage.user, None)

    def test_stamps_are_of_all_files_but_what_was_shown(self, storage: Storage) -> None:
        """Nor signed; and the same as long as nothing changes."""
        entry = self.commit(storage)
        before = storage.stamps(entry)
        if before is None:  # they cannot be had: then nothing is believed
            return
        assert before.keys() == {*FILES, entry.manifest_file}
        storage.put(entry, entry.shown_file, b"{}", replace=True)
        storage.put(entry, entry.signatures_file, b"{}", replace=True)
        self.commit(storage, "step-00000006")
        assert storage.stamps(entry) == before
        assert before == {path: storage.stat(entry, path).stamp for path in before}

    def test_stamps_tell_what_was_changed_added_or_removed(self, storage: Storage) -> None:
        """By path, and also where the size stays."""
        entry = self.commit(storage)
        before = storage.stamps(entry)
        if before is None:
            return
        time.sleep(_TICK)
        self.stranger_writes(storage, f"{RUN}/{entry.name}/rng/rng.json", SAME_SIZE)
        self.stranger_writes(storage, f"{RUN}/{entry.name}/rng/more", b"x")
        storage.put(entry, entry.observed_file, b"{}", replace=True)
        after = storage.stamps(entry)
        assert after is not None
        changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        assert changed == {"rng/rng.json", "rng/more", entry.observed_file}

    def test_where_files_are_shared_only_those_that_are_listed_are_stamped(self, storage: Storage) -> None:
        """What a trainer adds beside them is no change."""
        entry = self.sidecar(storage, "ep000050", {"ep000050.bin": b"x"})
        before = storage.stamps(entry, ["ep000050.bin"])
        if before is None:
            return
        assert before.keys() == {"ep000050.bin", entry.manifest_file}
        self.stranger_writes(storage, f"{RUN}/ep000051.bin", b"y")
        assert storage.stamps(entry, ["ep000050.bin"]) == before

    def test_what_is_called_telling_shows_the_next_change(self, storage: Storage) -> None:
        """The clock of a store may be coarse: then it must not say that its stamps tell."""
        entry = self.commit(storage)
        for number in range(20):
            taken = time.time()
            stamps = storage.stamps(entry)
            said = stamps is not None and (storage.telling(entry, stamps, taken) or storage.settled(entry, stamps))
            self.stranger_writes(storage, f"{RUN}/{entry.name}/rng/rng.json", b'{"state": %d}' % (number % 7))
            if said:
                assert storage.stamps(entry) != stamps, "the stamps were said to tell, and a change does not show"
