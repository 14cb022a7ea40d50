"""Laws about the smaller powers that a backend may add: a size estimate, and digests of the live item."""

from pathlib import Path

import pytest

from ckptkit.backend import SupportsDigests, SupportsEstimate
from ckptkit.testing.hooks import BackendHooks
from ckptkit.testing.outputs import short

_ROOM_BYTES = 64 << 10  # headers and small companions that nobody needs to foresee
_FACTOR = 4


class PowerLaws(BackendHooks):
    """Each law is skipped for a backend without the power."""

    def test_an_estimate_is_a_number_of_bytes_and_not_far_too_small(self, tmp_path: Path) -> None:
        """The disk preflight relies on it: a save must not run out of room that the estimate promised."""
        backend = self.backend()
        if not isinstance(backend, SupportsEstimate):
            pytest.skip(f"{self.backend.name} gives no estimate")
        expected, item = self.outputs(self.make_item()), self.make_item()
        estimate = backend.estimate_bytes(item)
        assert type(estimate) is int, f"estimate_bytes() gives {short(estimate)}, not a whole number"
        assert estimate > 0, f"estimate_bytes() gives {estimate}"
        self.assert_same_outputs(expected, self.outputs(item), "after estimate_bytes()")
        saved = self.save_midway(tmp_path / "item")
        real = sum((saved.directory / file).stat().st_size for file in saved.files)
        assert real <= _FACTOR * estimate + _ROOM_BYTES, f"estimate_bytes() gives {estimate}, save() wrote {real} bytes"

    def test_digests_tell_the_state_and_nothing_else(self, tmp_path: Path) -> None:
        """Read-back and observation rely on them: equal for equal state, not after a step, taken without a trace."""
        backend = self.backend()
        if not isinstance(backend, SupportsDigests):
            pytest.skip(f"{self.backend.name} takes no digests")
        expected, item = self.outputs(self.make_item()), self.make_item()
        first = dict(backend.digests(item))
        assert first, "digests() names no part"
        assert dict(backend.digests(item)) == first, "digests() taken twice differ"
        self.assert_same_outputs(expected, self.outputs(item), "after digests()")
        assert dict(backend.digests(item)) != first, f"digests() are the same after {self.steps} steps"
        saved = self.save_midway(tmp_path / "item")
        recorded = (saved.probe or {}).get("digests")
        assert recorded, 'save(probe=True) puts no "digests" into the probe'
        resumed = self.make_target()
        self.resume(saved, resumed)
        # Parts that are not recorded are those that the grade does not claim.
        now = {part: digest for part, digest in backend.digests(resumed).items() if part in recorded}
        assert now == recorded, "digests() after a load are not those of the save"
