"""Laws about the proof of resume: it says "same" for what was saved, and for nothing else."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from ckptkit.backend import LoadContext, Proof, SupportsProbe, Verdict
from ckptkit.errors import CkptkitError
from ckptkit.problem import fails
from ckptkit.testing.hooks import BackendHooks, Saved
from ckptkit.testing.limits import in_time


class ProbeLaws(BackendHooks):
    """A probe recorded at save is replayed on the files, on other files, and on files that have lost something."""

    def test_a_recorded_probe_replays_exactly(self, tmp_path: Path) -> None:
        """What was saved at any step is proven at that step, from a moved folder too."""
        self._need_probe()
        item = self.make_item()
        for step in range(min(self.steps, 3)):
            saved = self.save_to(tmp_path / f"step-{step}", item, step=step)
            assert saved.probe is not None, f"save(probe=True) recorded no probe at step {step}"
            moved = saved.at(tmp_path / f"moved-{step}")
            shutil.move(saved.directory, moved.directory)
            proof = self._prove(moved, self.load_context(moved))
            assert proof.verdict == "same", f"the probe of step {step} replays as {proof.verdict}: {proof.reason}"
            self.advance(item)

    def test_a_probe_of_another_step_differs(self, tmp_path: Path) -> None:
        """A proof that any state passes proves nothing: the state of one step must fail the probe of the next."""
        self._need_probe()
        item = self.make_item()
        one = self.save_to(tmp_path / "one", item, step=0)
        self.advance(item)
        other = self.save_to(tmp_path / "other", item, step=1)
        proof = self._prove(one, replace(self.load_context(one), probe=other.probe))
        assert proof.verdict == "differs", f"the state of step 0 replays the probe of step 1 as {proof.verdict}"
        assert proof.reason, "a proof that differs says why"

    def test_no_probe_is_recorded_unless_asked_and_none_proves_nothing(self, tmp_path: Path) -> None:
        """``probe=False`` records none, and an item without one is unproven, not wrong."""
        self._need_probe()
        saved = self.save_midway(tmp_path / "item", probe=False)
        assert saved.probe is None, "save(probe=False) recorded a probe"
        proof = self._prove(saved, self.load_context(saved))
        assert proof.verdict == "unproven", f"without a probe the verdict is {proof.verdict}"
        assert proof.reason, "an unproven proof says what is missing"

    def test_a_lost_component_does_not_prove_exact(self, tmp_path: Path) -> None:
        """Each of ``ablations()`` loses one thing: check, load or proof must notice."""
        self._need_probe()
        ablations = self.ablations()
        if not ablations:
            pytest.skip("ablations() is not given")
        saved = self.save_midway(tmp_path / "item")
        for number, (name, ablate) in enumerate(ablations.items()):
            copy = saved.at(tmp_path / f"without-{number}")
            shutil.copytree(saved.directory, copy.directory)
            ablate(copy.directory)
            if fails(self.problems(copy)):
                continue
            try:
                proof = self._prove(copy, self.load_context(copy))
            except CkptkitError:
                continue
            assert proof.verdict != "same", f"without {name} the probe still replays as the same"

    def _need_probe(self) -> None:
        if not isinstance(self.backend(), SupportsProbe):
            pytest.skip(f"{self.backend.name} does not support probes")

    def _prove(self, saved: Saved, context: LoadContext) -> Proof:
        with in_time(self.limit_seconds, "prove()"):
            proof: Proof = self.backend().prove(saved.directory, context=context)
        assert proof.verdict in get_args(Verdict), f"{proof.verdict!r} is not a verdict"
        return proof
