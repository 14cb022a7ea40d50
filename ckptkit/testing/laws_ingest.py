"""Laws about adopting files that a trainer wrote: a backend's own are recognised and described, others left alone."""

import shutil
from pathlib import Path, PurePosixPath

import pytest

from ckptkit.backend import GRADES, CheckContext, SavedItem, SupportsIngest
from ckptkit.formats import strict_json
from ckptkit.testing.hooks import BackendHooks, Saved
from ckptkit.testing.outputs import short
from ckptkit.testing.tree import files_in


class IngestLaws(BackendHooks):
    """``recognise`` decides by content; ``describe`` says what the files say."""

    def test_recognise_refuses_what_is_not_its_kind(self, tmp_path: Path) -> None:
        """None for an empty folder, text, noise, an empty file and a missing path; never an exception."""
        self._need_ingest()
        strangers = tmp_path / "strangers"
        (strangers / "an empty folder").mkdir(parents=True)
        (strangers / "a folder of text").mkdir()
        for place in (strangers, strangers / "a folder of text"):
            (place / "text.txt").write_text("Just a note.\n")
        (strangers / "an empty file").write_bytes(b"")
        (strangers / "noise.bin").write_bytes(bytes(range(256)) * 8)
        for path in (*sorted(strangers.iterdir()), strangers / "missing" / "ckpt-12"):
            try:
                answer = self.backend().recognise(path)
            except Exception as error:
                raise AssertionError(f"recognise({path.name!r}) raised {type(error).__name__}: {error}") from error
            assert answer is None, f"recognise({path.name!r}) claims {short(answer)}"

    def test_recognise_accepts_what_it_saved(self, tmp_path: Path) -> None:
        """A folder that the backend wrote is recognised, with relative names and files that exist."""
        self._need_ingest()
        saved = self.save_midway(tmp_path / "item")
        for name, source in self._recognise(saved).items():
            path = PurePosixPath(name)
            inside = not path.is_absolute() and ".." not in path.parts and path.as_posix() == name
            assert inside, f"recognise() names {name!r}, which is not a relative path"
            assert source.is_file(), f"recognise() leads to {source}, which is not a file"
            assert source.resolve().is_relative_to(saved.directory.resolve()), f"recognise() leads outside: {source}"

    def test_adopted_files_describe_themselves(self, tmp_path: Path) -> None:
        """A copy of the recognised files can be described and checks clean."""
        self._need_ingest()
        adopted = self._adopt(self.save_midway(tmp_path / "item"), tmp_path / "adopted")
        problems = self.problems(adopted)
        assert not problems, f"check() of adopted files: {problems}"

    def test_adopted_files_resume_as_exactly_as_they_say(self, tmp_path: Path) -> None:
        """Whatever is adopted can be loaded; if ``describe`` grades it complete, all remaining outputs are equal."""
        self._need_ingest()
        saved = self.save_midway(tmp_path / "item")
        adopted = self._adopt(saved, tmp_path / "adopted")
        actual = self.outputs(self.resume(adopted, self.make_target()))
        if adopted.said.captured.grade == "complete":
            expected = self.outputs(self.resume(saved, self.make_target()))
            self.assert_same_outputs(expected, actual, "adopted files")

    def test_adopted_files_claim_no_more_than_was_saved(self, tmp_path: Path) -> None:
        """What was not captured at the save is in no file: ``describe`` grades no better, and names what is missing."""
        self._need_ingest()
        for grade in ("complete", *self.lesser_items()):
            saved = self.save_midway(tmp_path / grade / "item", grade=grade)
            said = self._adopt(saved, tmp_path / grade / "adopted").said.captured
            before = saved.said.captured.grade
            what = f"describe() of an item that was saved as {before}"
            assert said.grade in GRADES, f"{what} grades it {said.grade!r}, which is not one of {GRADES}"
            assert GRADES.index(said.grade) >= GRADES.index(before), f"{what} claims {said.grade}"
            assert said.grade == "complete" or said.reasons, f"{what} grades it {said.grade} and does not say why"

    def _recognise(self, saved: Saved) -> dict[str, Path]:
        found = self.backend().recognise(saved.directory)
        assert found, f"recognise() does not know the folder that save() wrote ({', '.join(saved.files)})"
        return dict(found)

    def _adopt(self, saved: Saved, place: Path) -> Saved:
        for name, source in self._recognise(saved).items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, place / name)
        files = files_in(place)
        context = CheckContext(files, step=saved.step, source=saved.directory)
        said = self.backend().describe(place, context=context)
        assert isinstance(said, SavedItem), f"describe() returned {short(said)}, not a SavedItem"
        metadata = strict_json.loads(strict_json.dumps(said.metadata))
        return Saved(place, files, saved.step, said, metadata, probe=None)

    def _need_ingest(self) -> None:
        if not isinstance(self.backend(), SupportsIngest):
            pytest.skip(f"{self.backend.name} does not adopt files")
