"""Laws about what is on disk: where ``save`` writes, that it can be moved, and that a fresh item checks clean."""

import contextlib
import shutil
from pathlib import Path

from ckptkit.formats import strict_json
from ckptkit.testing.hooks import BackendHooks
from ckptkit.testing.outputs import short
from ckptkit.testing.tree import changes, irregular_in, picture
from ckptkit.testing.writes import left_outside, noted


class FileLaws(BackendHooks):
    """Only inside the folder, only regular files, plain JSON beside them, valid wherever they are moved."""

    def test_save_writes_regular_files_inside_its_folder_only(self, tmp_path: Path) -> None:
        """The folder may have a space and letters beyond ASCII in its path; nothing appears anywhere else."""
        world, here = tmp_path / "world", tmp_path / "cwd"
        directory = world / "dossier d'été ✓" / "step-1" / "item"
        (world / "neighbour").mkdir(parents=True)
        (world / "neighbour" / "other.txt").write_text("not yours")
        here.mkdir()
        item = self.make_item()
        before = picture(world), picture(here)
        with contextlib.chdir(here):
            saved = self.save_to(directory, item)
        assert not irregular_in(directory), f"save() made something other than files: {irregular_in(directory)}"
        assert saved.files, "save() wrote no file"
        own = directory.relative_to(world)
        others = [Path(name) for name in changes(before[0], picture(world))]
        outside = [str(path) for path in others if not (path.is_relative_to(own) or own.is_relative_to(path))]
        assert not outside, f"save() touched files outside its folder: {outside}"
        assert picture(here) == before[1], (
            f"save() wrote into the working directory: {changes(before[1], picture(here))}"
        )

    def test_save_leaves_nothing_at_any_other_place(self, tmp_path: Path) -> None:
        """Not by an absolute path either, in the home folder or in /tmp.

        Scratch files that are gone again do no harm.
        """
        item = self.make_item()
        with noted() as written:
            saved = self.save_to(tmp_path / "item", item)
        elsewhere = left_outside(written, saved.directory)
        assert not elsewhere, f"save() wrote outside its folder: {short(elsewhere)}"

    def test_what_save_returns_is_plain_json(self, tmp_path: Path) -> None:
        """A manifest holds it for ever, so it is JSON with the right kinds of value."""
        said = self.save_midway(tmp_path / "item").said
        for field in ("metadata", "counters", "probe"):
            value = getattr(said, field)
            try:
                strict_json.dumps(value)
            except ValueError as error:
                raise AssertionError(f"SavedItem.{field} is not JSON: {error}") from error
        assert said.step is None or (type(said.step) is int and said.step >= 0), f"step is {short(said.step)}"
        for name, count in said.counters.items():
            assert type(count) is int, f"counters[{name!r}] is {short(count)}, not a whole number"
        lines = [line for line in said.hazards if not isinstance(line, str) or len(line.splitlines()) != 1]
        assert not isinstance(said.hazards, str), "hazards is text; make it a list of lines"
        assert not lines, f"hazards are one line of text each: {short(lines)}"

    def test_a_moved_folder_loads(self, tmp_path: Path) -> None:
        """A checkpoint that was copied or renamed is as good as it was where it was written."""
        saved = self.save_midway(tmp_path / "here" / "item")
        expected = self.outputs(self.resume(saved, self.make_target()))
        moved = saved.at(tmp_path / "another place ✓" / "renamed")
        moved.directory.parent.mkdir()
        shutil.move(saved.directory, moved.directory)
        shutil.rmtree(tmp_path / "here")
        assert not self.problems(moved), f"check() of the moved folder: {self.problems(moved)}"
        self.assert_same_outputs(expected, self.outputs(self.resume(moved, self.make_target())), "loaded after a move")

    def test_check_is_clean_on_fresh_files_and_changes_nothing(self, tmp_path: Path) -> None:
        """Neither ``check`` nor ``load`` writes: a verified checkpoint stays the checkpoint that was verified."""
        saved = self.save_midway(tmp_path / "item")
        before = picture(tmp_path)
        problems = self.problems(saved)
        assert not problems, f"check() of fresh files: {problems}"
        assert picture(tmp_path) == before, f"check() changed {changes(before, picture(tmp_path))}"
        self.resume(saved, self.make_target())
        assert picture(tmp_path) == before, f"load() changed {changes(before, picture(tmp_path))}"

    def test_files_of_others_beside_them_do_not_matter(self, tmp_path: Path) -> None:
        """In a sidecar checkpoint other items' files lie in the same folder; ``context.files`` names the item's own."""
        saved = self.save_midway(tmp_path / "item")
        expected = self.outputs(self.resume(saved, self.make_target()))
        (saved.directory / "aaa-other.json").write_text('{"not": "yours"}')
        (saved.directory / "zzz-other.bin").write_bytes(b"not yours")
        problems = self.problems(saved)
        assert not problems, f"check() looked at files that are not in context.files: {problems}"
        actual = self.outputs(self.resume(saved, self.make_target()))
        self.assert_same_outputs(expected, actual, "loaded beside other items' files")
