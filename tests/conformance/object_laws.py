"""The laws of ``Objects``: what every service must do, whatever it is."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ckptkit.storage.objects.service import NEW, Objects, Only, Unmet


class ObjectLaws:
    """Subclassed for each service, with a fixture ``objects`` that is opened at an empty prefix."""

    def test_what_was_written_is_read_and_looked_up(self, objects: Objects) -> None:
        written = objects.write("run/a/manifest.json", b"content")
        data, read = objects.read("run/a/manifest.json")
        assert data == b"content"
        assert read == objects.look("run/a/manifest.json")
        assert (read.key, read.size) == ("run/a/manifest.json", 7)
        assert read.version
        assert read.modified.tzinfo is not None
        assert (written.key, written.size, written.version) == (read.key, read.size, read.version)

    def test_what_is_not_there_is_none_or_not_found(self, objects: Objects) -> None:
        assert objects.look("nothing/here") is None
        for ask in (lambda: objects.read("nothing/here"), lambda: objects.open("nothing/here")):
            with pytest.raises(FileNotFoundError):
                ask()
        with pytest.raises(FileNotFoundError):
            objects.copy("nothing/here", "there")
        assert objects.level("nothing/").objects == ()
        assert list(objects.below("nothing/")) == []

    def test_a_write_over_another_changes_the_version(self, objects: Objects) -> None:
        versions = [objects.write("key", data).version for data in (b"one", b"two", b"six")]
        assert len(set(versions)) == 3
        assert objects.read("key")[0] == b"six"

    def test_an_object_is_made_only_once(self, objects: Objects) -> None:
        first = objects.write("key", b"first", NEW)
        with pytest.raises(Unmet):
            objects.write("key", b"other", NEW)
        data, there = objects.read("key")
        assert (data, there.version) == (b"first", first.version)

    def test_of_many_who_make_an_object_one_wins(self, objects: Objects) -> None:
        if "create" not in objects.powers:
            pytest.skip("this service has no power 'create': doctor tells so")
        for turn in range(3):
            won: list[int] = []
            self._at_once(4, lambda number, turn=turn, won=won: self._won(objects, f"race{turn}", number, NEW, won))
            assert len(won) == 1
            assert objects.read(f"race{turn}")[0] == b"by %d" % won[0]

    def test_of_many_who_swap_an_object_one_wins(self, objects: Objects) -> None:
        if "swap" not in objects.powers:
            pytest.skip("this service has no power 'swap': doctor tells so")
        before = objects.write("state", b"before")
        won: list[int] = []
        self._at_once(4, lambda number: self._won(objects, "state", number, Only(before.version), won))
        assert len(won) == 1
        assert objects.read("state")[0] == b"by %d" % won[0]

    @staticmethod
    def _won(objects: Objects, key: str, number: int, only: Only, won: list[int]) -> None:
        try:
            objects.write(key, b"by %d" % number, only)
        except Unmet:
            return
        won.append(number)

    @staticmethod
    def _at_once(count: int, work: Callable[[int], None]) -> None:
        gate = threading.Barrier(count)

        def run(number: int) -> None:
            gate.wait()
            work(number)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    def test_a_swap_needs_the_version_that_is_there(self, objects: Objects) -> None:
        old = objects.write("key", b"one")
        new = objects.write("key", b"two", Only(old.version))
        with pytest.raises(Unmet):
            objects.write("key", b"six", Only(old.version))
        with pytest.raises(Unmet):
            objects.write("absent", b"six", Only(old.version))
        assert objects.look("absent") is None
        data, there = objects.read("key")
        assert (data, there.version) == (b"two", new.version)

    def test_a_listing_tells_what_was_just_written_and_removed(self, objects: Objects) -> None:
        for number in range(3):
            objects.write(f"run/{number}", b"x" * number)
            info = objects.look(f"run/{number}")
            assert info in list(objects.below("run/"))
            assert objects.level("run/").objects[-1] == info
        objects.delete(["run/1"])
        assert [info.key for info in objects.below("run/")] == ["run/0", "run/2"]

    def test_a_level_tells_folders_and_objects_apart(self, objects: Objects) -> None:
        for key in ("b/x", "a/y/z", "a/x", "c", "a.txt", "b/w"):
            objects.write(key, b"x")
        top = objects.level("")
        assert top.folders == ("a", "b")
        assert [info.key for info in top.objects] == ["a.txt", "c"]
        assert [info.key for info in objects.level("b/").objects] == ["b/w", "b/x"]
        assert objects.level("a/").folders == ("y",)

    def test_all_that_is_below_comes_folder_by_folder(self, objects: Objects) -> None:
        keys = ["r/a-b/m", "r/a/m", "r/a/n/o", "r/a.c", "r/ab", "r/a/n/p", "s/a", "r/a-b/n"]
        for key in keys:
            objects.write(key, key.encode())
        for prefix in ("r/", "r/a/", ""):
            found = [info.key for info in objects.below(prefix)]
            assert sorted(found) == sorted(key for key in keys if key.startswith(prefix))
            for folder in ("r/", "r/a/", "r/a-b/", "r/a/n/"):
                places = [place for place, key in enumerate(found) if key.startswith(folder)]
                assert places == list(range(places[0], places[-1] + 1)) if places else True

    def test_keys_that_begin_alike_are_found(self, objects: Objects) -> None:
        keys = ["r/a", "r/a-b", "r/a.c/x", "r/ab/x", "r/b", "r/B", "r2"]
        for key in keys:
            objects.write(key, b"x")
        for prefix in ("r/a", "r/a-", "r/a.", "r/ab", "r", "r2", "r/a.c/x", "r/z"):
            assert sorted(i.key for i in objects.below(prefix)) == sorted(k for k in keys if k.startswith(prefix)), (
                prefix
            )

    @pytest.mark.matrix
    def test_more_than_one_page_is_listed_and_removed(self, objects: Objects) -> None:
        keys = [f"r/{number:04}/m" for number in range(1_100)]
        with ThreadPoolExecutor(8) as crew:
            list(crew.map(lambda key: objects.write(key, b"x"), keys))
        assert sorted(info.key for info in objects.below("r/")) == keys
        assert sorted(info.key for info in objects.below("r/10")) == keys[1_000:]
        assert objects.level("r/").folders == tuple(key.split("/")[1] for key in keys)
        objects.delete(keys)
        assert list(objects.below("")) == []

    def test_names_of_files_stay_what_they_are(self, objects: Objects) -> None:
        names = ["epoch=12-step=500.ckpt", "a b", "ä", "100%", "a+b", "[x]", "it's", "~tilde", "a#b", "a&b", "q?", "*"]
        for name in names:
            objects.write(f"odd/{name}", name.encode())
        assert sorted(info.key for info in objects.below("odd/")) == sorted(f"odd/{name}" for name in names)
        for name in names:
            assert objects.read(f"odd/{name}")[0] == name.encode()
        objects.delete([f"odd/{name}" for name in names])
        assert list(objects.below("odd/")) == []

    def test_ranges_are_read_without_the_rest(self, objects: Objects) -> None:
        data = random.Random(1).randbytes(3 << 20)
        objects.write("big", data)
        info = objects.look("big")
        for start, length in ((0, 10), (5, 1), (len(data) - 3, 3), (1 << 20, 1 << 20), (7, None), (len(data) - 2, 100)):
            assert objects.read("big", start, length) == (
                data[start : None if length is None else start + length],
                info,
            )
        assert objects.read("big", len(data), 10)[0] == b""
        assert objects.read("big", 3, 0)[0] == b""

    def test_an_empty_object_is_one(self, objects: Objects) -> None:
        info = objects.write("empty", b"")
        assert info.size == 0
        assert objects.read("empty")[0] == b""
        assert objects.read("empty", 0, 10)[0] == b""
        with objects.open("empty") as stream:
            assert stream.read(10) == b""

    def test_a_file_of_20_mb_arrives_in_parts_and_is_read_as_a_stream(self, objects: Objects, tmp_path: Path) -> None:
        data = random.Random(2).randbytes(20_000_003)
        (tmp_path / "file").write_bytes(data)
        info = objects.upload("run/data/file", tmp_path / "file")
        assert (info.size, info.key) == (len(data), "run/data/file")
        there = objects.look("run/data/file")
        assert there is not None
        assert (there.size, there.version) == (info.size, info.version)
        with objects.open("run/data/file") as stream:
            parts = []
            while part := stream.read(1_000_000):
                parts.append(part)
        assert b"".join(parts) == data
        assert objects.unfinished("", 0.0) == []

    def test_a_small_and_an_empty_file_arrive(self, objects: Objects, tmp_path: Path) -> None:
        for name, data in (("small", b"few"), ("empty", b"")):
            (tmp_path / name).write_bytes(data)
            assert objects.upload(name, tmp_path / name).size == len(data)
            assert objects.read(name)[0] == data

    def test_an_upload_of_what_is_not_there_leaves_nothing(self, objects: Objects, tmp_path: Path) -> None:
        with pytest.raises(OSError):
            objects.upload("run/file", tmp_path / "absent")
        assert list(objects.below("")) == []

    def test_many_are_removed_at_once_and_what_is_gone_is_no_error(self, objects: Objects) -> None:
        for number in range(5):
            objects.write(f"many/{number}", b"x")
        objects.delete([f"many/{number}" for number in (0, 9, 1, 2, 8)])
        assert [info.key for info in objects.below("many/")] == ["many/3", "many/4"]
        objects.delete(["many/3", "many/4"])
        objects.delete([])
        assert list(objects.below("")) == []

    def test_one_is_removed_only_while_it_is_what_it_was(self, objects: Objects) -> None:
        old = objects.write("key", b"old")
        new = objects.write("key", b"new")
        with pytest.raises(Unmet):
            objects.delete_only("key", old.version)
        there = objects.look("key")
        assert there is not None
        assert there.version == new.version
        objects.delete_only("key", new.version)
        assert objects.look("key") is None
        with pytest.raises(Unmet):
            objects.delete_only("key", new.version)

    def test_a_copy_is_a_second_object(self, objects: Objects) -> None:
        objects.write("one", b"content")
        info = objects.copy("one", "there/two")
        assert (info.key, info.size) == ("there/two", 7)
        objects.delete(["one"])
        assert objects.read("there/two") == (b"content", info)

    def test_threads_share_it(self, objects: Objects) -> None:
        wrong: list[object] = []

        def work(number: int) -> None:
            for turn in range(5):
                data = b"%d %d" % (number, turn)
                objects.write(f"shared/{number}-{turn}", data)
                if objects.read(f"shared/{number}-{turn}")[0] != data:
                    wrong.append((number, turn))

        self._at_once(6, work)
        assert not wrong
        assert len(list(objects.below("shared/"))) == 30

    def test_the_url_opens_it_again(self, objects: Objects) -> None:
        from ckptkit.storage.objects.opening import open_objects

        objects.write("key", b"content")
        assert open_objects(objects.url).read("key")[0] == b"content"
