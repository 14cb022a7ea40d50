"""Laws about damaged files: ``check`` finds them, ``load`` refuses them, and a refused load leaves its target alone."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from ckptkit.problem import Problem, Severity, fails
from ckptkit.testing.damage import DAMAGES, damaged_copies
from ckptkit.testing.flips import outcomes
from ckptkit.testing.hooks import BackendHooks, Saved
from ckptkit.testing.outputs import short

_AS_DAMAGED = ("DamagedError", "UnsafeContentError", "StrictJsonError")
_CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class DamageLaws(BackendHooks):
    """Each file in turn is deleted, cut or overwritten, in a copy of the folder."""

    @pytest.mark.parametrize("damage", list(DAMAGES))
    def test_check_finds_damage(self, tmp_path: Path, damage: str) -> None:
        """Every kind of damage to every file is a problem, and never an exception."""
        saved = self.save_midway(tmp_path / "item")
        for file, copy in damaged_copies(saved, damage, tmp_path):
            problems = self.problems(copy)
            assert fails(problems), f"check() finds nothing although {file} is {damage}: {problems}"
            for problem in problems:
                _assert_well_formed(problem)

    @pytest.mark.parametrize("damage", list(DAMAGES))
    def test_load_refuses_damage_and_leaves_the_target_alone(self, tmp_path: Path, damage: str) -> None:
        """Everything is validated before the first bit of the target changes."""
        saved = self.save_midway(tmp_path / "item")
        untouched = self._look(self.make_target())
        for file, copy in damaged_copies(saved, damage, tmp_path):
            self._assert_refused(copy, self.make_target(), untouched, f"load() although {file} is {damage}")

    def test_flipped_bits_are_found_or_refused_in_words(self, tmp_path: Path) -> None:
        """One bit at a time, in a new process: ``check`` finds it, or ``load`` refuses it with an error, or copes.

        Never another exception, a crash or a hang. And ``check`` must find some of what ``load`` refuses as damaged:
        one that only looks at the beginning of a file finds nothing.
        """
        if not self.flips:
            pytest.skip("flips is 0: tried by another test class of the backend")
        saved = self.save_midway(tmp_path / "item")
        found = outcomes(self, saved, tmp_path)
        bad = [one for one in found if one.result in ("raised", "ended")]
        assert not bad, (
            f"bit {bad[0].bit} of {bad[0].file} flipped: check() finds nothing, and {bad[0].detail} "
            f"({len(bad)} of {len(found)} bits)"
        )
        refused = [one for one in found if one.result == "refused" and one.detail.startswith(_AS_DAMAGED)]
        looked = any(one.result == "found" for one in found)
        assert looked or not refused, (
            f"check() finds none of {len(found)} flipped bits, load() refuses {len(refused)} of them: look deeper"
        )

    def test_load_refuses_a_foreign_target(self, tmp_path: Path) -> None:
        """State is put only into an object of its own kind."""
        saved = self.save_midway(tmp_path / "item")
        self.assert_refuses(lambda: self.resume(saved, self.foreign_item()), "load() into a foreign target")

    def test_load_refuses_a_misfit_and_leaves_it_alone(self, tmp_path: Path) -> None:
        """A target of the right kind that the state does not fit is refused before it is touched."""
        untouched = self._look(self.make_misfit())
        saved = self.save_midway(tmp_path / "item")
        self._assert_refused(saved, self.make_misfit(), untouched, "load() into a target that the state does not fit")

    def _assert_refused(self, saved: Saved, target: Any, untouched: object, what: str) -> None:
        self.assert_refuses(lambda: self.resume(saved, target), what)
        after = self._look(target)
        assert self.same(untouched, after), (
            f"{what}: was refused, but the target has changed\n  before {short(untouched)}\n  after  {short(after)}"
        )

    def _look(self, target: Any) -> object:
        return None if target is None else self.inspect_target(target)


def _assert_well_formed(problem: Problem) -> None:
    assert isinstance(problem, Problem), f"check() yields {short(problem)}, not a Problem"
    assert _CODE.fullmatch(problem.code), f"the code {problem.code!r} is not a kebab-case word"
    assert len(problem.message.splitlines()) == 1, f"the message of {problem.code} is not one line: {problem.message!r}"
    assert problem.severity in get_args(Severity), f"{problem.severity!r} is not a severity"
    file = problem.file
    inside = file is None or not (Path(file).is_absolute() or ".." in Path(file).parts)
    assert inside, f"{problem.code} names {file!r}, which is not relative to the item's folder"
