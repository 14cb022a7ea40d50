"""Laws about what a grade promises: what was saved comes back in a new process, and each missing piece has a name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ckptkit.backend import GRADES, Captured, Grade
from ckptkit.errors import CkptkitError
from ckptkit.testing.elsewhere import Case, resume_in_a_new_process
from ckptkit.testing.hooks import BackendHooks, Saved
from ckptkit.testing.outputs import fingerprint, short


class RestoreLaws(BackendHooks):
    """For ``make_item`` and for each of ``lesser_items``, saved with factories and without."""

    def test_whatever_was_saved_is_put_back_in_a_new_process(self, tmp_path: Path) -> None:
        """A save that was accepted can be resumed from, at every grade: known missing pieces are no reason to refuse.

        What is compared after the load is what the store compares: the parts in ``probe["digests"]``. For a complete
        item all remaining outputs are equal as well.
        """
        cases = self._cases(tmp_path)
        remaining = self._remaining()
        for case, answer in zip(cases, resume_in_a_new_process(self, cases, tmp_path), strict=True):
            what = f"{case.name}: saved as {case.saved.said.captured.grade}, in a new process"
            assert answer.error is None, f"{what}: {answer.error}"
            assert not answer.changed, (
                f"{what}: read-back refuses it, {', '.join(answer.changed)} is not what was saved"
            )
            if case.grade == case.saved.said.captured.grade == "complete" and self._comparable:
                pairs = enumerate(zip(remaining, answer.outputs, strict=True), start=1)
                differs = [place for place, (one, other) in pairs if one != other]
                assert not differs, f"{what}: output {differs[0]} of {len(remaining)} differs"

    def test_what_training_changed_is_put_back_or_told_at_the_save(self, tmp_path: Path) -> None:
        """Each of ``changed_items()`` is refused at the save, with a hint, or put back in a new process.

        There the target is as the program builds it. No restore may refuse what a save accepted: what does not come
        back is named at the save, and a grade of ``complete`` means that all remaining outputs are equal.
        """
        if not self.changed_items():
            pytest.skip("changed_items() is not given")
        cases, expected = [], []
        for number, name in enumerate(self.changed_items()):
            item = self._changed(name)
            saved, refusal = self._saved_or_refused(tmp_path / f"changed-{number}", item)
            if saved is None:
                assert refusal, f"{name}: refused at the save without a hint of its own of what to do"
                continue
            self.assert_names_what_is_missing(saved.said.captured, name)
            cases.append(Case(name, saved.said.captured.grade, True, saved, built=name))
            expected.append([fingerprint(output) for output in self.outputs(item)])
        answers = resume_in_a_new_process(self, cases, tmp_path) if cases else []
        for case, answer, remaining in zip(cases, answers, expected, strict=True):
            what = f"{case.name}: was accepted as {case.grade} at the save, in a new process"
            assert answer.error is None, f"{what}: {answer.error}"
            lost = ", ".join(answer.changed)
            assert not lost, f"{what}: read-back refuses it, {lost} is not what was saved"
            if case.grade == "complete" and self._comparable:
                assert remaining == list(answer.outputs), f"{what}: it goes on differently"

    def _changed(self, name: str) -> Any:
        build, change = self.changed_items()[name]
        item = build()
        self.outputs(item, max(1, self.steps // 2))
        change(item)
        self.outputs(item, 1)
        return item

    def _saved_or_refused(self, directory: Path, item: Any) -> tuple[Saved | None, str | None]:
        try:
            return self.save_to(directory, item), None
        except CkptkitError as error:
            return None, None if error.hint == error.default_hint else error.hint

    def test_every_grade_but_complete_names_what_is_missing(self, tmp_path: Path) -> None:
        """One reason for each missing piece, one line each; ``complete`` needs none."""
        for case in self._cases(tmp_path):
            captured = case.saved.said.captured
            if case.grade != "complete" and case.factories:  # without them a backend may know less
                given = f"{case.name} is graded {captured.grade} ({'; '.join(captured.reasons)})"
                assert captured.grade == case.grade, given
            self.assert_names_what_is_missing(captured, case.name)

    def assert_names_what_is_missing(self, captured: Captured, what: str) -> None:
        """Fail unless the grade is one of the five, and all but ``complete`` have a line for each missing piece."""
        assert captured.grade in GRADES, f"{what}: {captured.grade!r} is not one of {GRADES}"
        bad = [r for r in captured.reasons if not isinstance(r, str) or len(r.splitlines()) != 1]
        assert not bad, f"{what}: reasons are one line of text each: {short(bad)}"
        assert captured.grade == "complete" or captured.reasons, f"{what}: is {captured.grade} and does not say why"

    @property
    def _comparable(self) -> bool:
        """Whether outputs are compared as they are, which is all another process can do."""
        return type(self).same is BackendHooks.same

    def _cases(self, place: Path) -> list[Case]:
        lesser: Mapping[Grade, object] = self.lesser_items()
        cases = []
        for grade in ("complete", *(g for g in GRADES if g in lesser)):
            for factories in (True, False) if self.factories() else (True,):
                name = f"{grade} item" + ("" if factories else " without factories")
                folder = place / name.replace(" ", "-")
                cases.append(Case(name, grade, factories, self.save_midway(folder, factories=factories, grade=grade)))
        return cases

    def _remaining(self) -> list[str]:
        done = max(1, self.steps // 2)
        return [fingerprint(output) for output in self.outputs(self.make_item(), done + self.steps)[done:]]
