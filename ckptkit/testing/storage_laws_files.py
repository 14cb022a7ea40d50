"""Laws about the files of a checkpoint: read, streamed, examined, fetched, and written beside it."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from ckptkit.errors import ConflictError, DamagedError, StoreError
from ckptkit.manifest.names import MANIFEST_NAME
from ckptkit.storage.interface import Storage
from ckptkit.testing.storage_hooks import FILES, RUN, StorageHooks, content, expected, folder_entry, one_line, whole
from ckptkit.testing.threads import meanwhile

MODEL = "policy/model.bin"


class FileLaws(StorageHooks):
    """What was saved is what is read; what cannot be read is told."""

    def test_a_read_gives_the_limit_and_one_byte_more(self, storage: Storage) -> None:
        """So that the reader sees that there is more, and nobody reads a gigabyte for a manifest."""
        entry, data = self.commit(storage), FILES[MODEL]
        for limit in (0, 1, 100, len(data) - 1, len(data), len(data) + 100):
            assert storage.read(entry, MODEL, limit) == data[: limit + 1]
        assert storage.read(entry, "rng/empty", 10) == b""

    def test_streams_begin_at_the_start_and_do_not_disturb_each_other(self, storage: Storage) -> None:
        """Two readers of one file."""
        entry = self.commit(storage)
        with storage.open(entry, MODEL) as one, storage.open(entry, MODEL) as other:
            assert one.read(100) == other.read(100) == FILES[MODEL][:100]
            assert one.read() == FILES[MODEL][100:]
            assert other.read() == FILES[MODEL][100:]

    def test_a_file_is_examined_without_reading_it(self, storage: Storage) -> None:
        """Its size, and that it is a file."""
        entry = self.commit(storage)
        for path, data in FILES.items():
            found = storage.stat(entry, path)
            assert (found.path, found.size, found.regular) == (path, len(data), True)

    @pytest.mark.parametrize("path", ["rng/no", "no/rng.json", "no"])
    def test_a_file_that_is_missing_is_not_found(self, storage: Storage, path: str) -> None:
        """FileNotFoundError, which is told from everything else: incomplete is not unreadable."""
        entry = self.commit(storage)
        for at in (entry, folder_entry(storage, "step-00000077")):
            for asks in (lambda at=at: storage.read(at, path, 10), lambda at=at: storage.open(at, path)):
                with pytest.raises(FileNotFoundError):
                    asks()
            with pytest.raises(FileNotFoundError):
                storage.stat(at, path)

    @pytest.mark.parametrize("path", ["rng", "policy/deep", "rng/rng.json/below"])
    def test_what_is_no_regular_file_is_damage(self, storage: Storage, path: str) -> None:
        """A folder in place of a file, and a file in place of a folder."""
        entry = self.commit(storage)
        for asks in (lambda: storage.read(entry, path, 10), lambda: storage.open(entry, path)):
            with pytest.raises(DamagedError):
                asks()
        with contextlib.suppress(DamagedError):
            assert not storage.stat(entry, path).regular

    def test_all_files_of_an_entry_are_named_also_those_of_strangers(self, storage: Storage) -> None:
        """What is not listed in a manifest is a finding, so it has to be seen."""
        entry = self.commit(storage)
        assert sorted(storage.names(entry)) == sorted([*FILES, MANIFEST_NAME])
        self.stranger_writes(storage, f"{RUN}/{entry.name}/rng/more.txt", b"x")
        assert sorted(storage.names(entry)) == sorted([*FILES, MANIFEST_NAME, "rng/more.txt"])

    def test_fetched_files_lie_at_their_paths_byte_for_byte(self, storage: Storage) -> None:
        """On this machine, as backends read them; those that are missing in the store are missing there."""
        entry = self.commit(storage)
        with storage.fetch(entry, [*FILES, "rng/missing"]) as folder:
            assert {path: (folder / path).read_bytes() for path in FILES} == FILES
            assert not (folder / "rng" / "missing").exists()

    def test_what_is_written_into_a_fetched_folder_changes_no_store(self, storage: Storage) -> None:
        """A backend that scribbles where it reads must not damage what others restore tomorrow."""
        entry = self.commit(storage)
        try:
            at_home = storage.folder(entry)
        except StoreError:
            at_home = None
        with storage.fetch(entry, list(FILES)) as folder:
            if folder == at_home:
                pytest.skip("the store is on a file system and hands out the folder itself: nothing is copied")
            (folder / "rng/rng.json").write_bytes(b"scribbled")
            (folder / MODEL).unlink()
            (folder / "more").write_bytes(b"x")
        whole(entry)
        with storage.fetch(entry, list(FILES)) as folder:
            assert {path: (folder / path).read_bytes() for path in FILES} == FILES

    def test_a_folder_on_this_machine_is_given_or_refused_in_words(self, storage: Storage) -> None:
        """``folder`` and ``run_folder`` agree on whether there is one; the files are in it."""
        entry = self.commit(storage)
        given: list[Path] = []
        refusals = []
        doors: list[Callable[[], Path]] = [lambda: storage.folder(entry), lambda: storage.run_folder(RUN)]
        for door in doors:
            try:
                given.append(door())
            except StoreError as error:
                refusals.append(str(error))
        assert not (given and refusals), "only one of folder and run_folder is there"
        assert all(one_line(line) for line in refusals)
        if given:
            folder, run_folder = given
            assert folder.parent == run_folder
            assert {path: (folder / path).read_bytes() for path in FILES} == FILES

    def test_a_file_of_ours_is_put_where_there_is_none(self, storage: Storage) -> None:
        """Else it is a conflict, and what is there stays."""
        entry = self.commit(storage)
        storage.put(entry, entry.observed_file, b"one", replace=False)
        with pytest.raises(ConflictError):
            storage.put(entry, entry.observed_file, b"other", replace=False)
        with pytest.raises(ConflictError):
            storage.put(entry, entry.manifest_file, b"other", replace=False)
        assert content(entry) == {**expected(entry), entry.observed_file: b"one"}

    def test_a_file_of_ours_is_replaced_where_that_is_asked_for(self, storage: Storage) -> None:
        """Whether there was one or not."""
        entry = self.commit(storage)
        for data in (b"one", b"another", b""):
            for path in (entry.shown_file, entry.signatures_file):
                storage.put(entry, path, data, replace=True)
            assert content(entry) == {**expected(entry), entry.shown_file: data, entry.signatures_file: data}

    def test_who_reads_while_it_is_replaced_sees_the_old_or_the_new(self, storage: Storage) -> None:
        """Never a part, and never nothing."""
        entry = self.commit(storage)
        contents = [bytes([letter]) * size for letter, size in ((97, 300_000), (98, 200_000), (99, 100_000))]
        storage.put(entry, entry.shown_file, contents[0], replace=True)

        def look() -> None:
            assert storage.read(entry, entry.shown_file, 1 << 20) in contents, "a half-written file was read"

        with meanwhile(look):
            for number in range(60):
                storage.put(entry, entry.shown_file, contents[number % 3], replace=True)
