"""The law that matters most: after a resume at any step, every remaining output equals the uninterrupted run's."""

from pathlib import Path

import pytest

from ckptkit.errors import CkptkitError
from ckptkit.testing import generators
from ckptkit.testing.hooks import BackendHooks, Saved
from ckptkit.testing.outputs import same_output


class ResumeLaws(BackendHooks):
    """Resumed runs, runs resumed again and again, and runs that were saved while they continued."""

    def test_the_hooks_can_tell_a_resume_from_a_fresh_start(self) -> None:
        """Checks the test itself: equal items behave the same, and a load that did nothing would be seen."""
        expected = self.outputs(self.make_item(), 2 * self.steps)
        again = self.outputs(self.make_item(), 2 * self.steps)
        self.assert_same_outputs(expected, again, "two items of make_item() must behave the same")
        rest = expected[self.steps : 2 * self.steps]
        alike = all(self.same(one, other) for one, other in zip(expected, rest, strict=False))
        assert not alike, "advance() gives the same outputs from the start and later on: no law could fail"

    def test_a_resume_at_every_step_gives_all_remaining_outputs(self, tmp_path: Path) -> None:
        """State is taken before every step; each is loaded into a fresh target, and all later outputs are compared."""
        expected = self.outputs(self.make_item())
        states = self._save_at_every_step(tmp_path, probe=True)
        for saved in states:
            target = self.make_target()
            actual = self.outputs(self.resume(saved, target), self.steps - saved.step)
            self.assert_same_outputs(expected[saved.step :], actual, f"resumed at step {saved.step} of {self.steps}")

    @pytest.mark.parametrize("probe", [True, False], ids=["probe", "no probe"])
    def test_saving_does_not_disturb_the_live_item(self, tmp_path: Path, probe: bool) -> None:
        """A run that is saved before every step does the same as one that is never saved, at every grade.

        All outputs are equal, and so are the random generators of the process, from which other code draws too.
        """
        for grade, make in {"complete": self.make_item, **self.lesser_items()}.items():
            with generators.seeded():
                expected, untouched = self.outputs(make()), generators.states()
            with generators.seeded():
                item, actual = make(), []
                for step in range(self.steps):
                    self.save_to(tmp_path / f"{grade}-{step}", item, step=step, probe=probe)
                    actual.append(self.advance(item))
                drawn = [name for name, state in generators.states().items() if not same_output(untouched[name], state)]
            what = f"saved before every step, {probe=}" + ("" if grade == "complete" else f", graded {grade}")
            self.assert_same_outputs(expected, actual, what)
            assert not drawn, f"{what}: the random generators of the process were used: {', '.join(drawn)}"

    def test_a_resumed_run_can_be_saved_and_resumed_again(self, tmp_path: Path) -> None:
        """Resuming loses nothing: state goes through the disk before every single step."""
        expected = self.outputs(self.make_item())
        live, actual = self.make_item(), []
        for step in range(self.steps):
            saved = self.save_to(tmp_path / f"step-{step}", live, step=step)
            live = self.resume(saved, self.make_target())
            actual.append(self.advance(live))
        self.assert_same_outputs(expected, actual, "resumed before every step")

    def test_a_load_without_a_target_builds_one_or_refuses(self, tmp_path: Path) -> None:
        """``target=None`` builds a new object that continues just as well, or is refused with a reason."""
        item = self.make_item()
        self.outputs(item, 1)
        saved = self.save_to(tmp_path / "item", item, step=1)
        expected = self.outputs(self.make_item(), self.steps + 1)[1:]
        try:
            built = self.resume(saved, None)
        except CkptkitError:
            return
        self.assert_same_outputs(expected, self.outputs(built), "loaded without a target")

    def _save_at_every_step(self, place: Path, *, probe: bool) -> list[Saved]:
        item, states = self.make_item(), []
        for step in range(self.steps):
            states.append(self.save_to(place / f"step-{step}", item, step=step, probe=probe))
            self.advance(item)
        return states
