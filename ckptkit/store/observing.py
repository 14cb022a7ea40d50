"""Observe a run: note what it does in the steps after a checkpoint, or compare a resumed run with what was noted.

The same two lines serve both: the run that saved writes the observation, every run resumed from there is held against
it. Static probes cannot see what only shows later (a target network, an unseeded shuffle); this can.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ckptkit.backend import Proof
from ckptkit.manifest.models import Manifest
from ckptkit.storage import Location
from ckptkit.store.readback import live_digests
from ckptkit.verification import observation
from ckptkit.verification.observation import Digests, Observation

REHEARSAL = "CKPTKIT_REHEARSAL_STEPS"
"""Set by ``verify --level resume --steps K``: the observer ends the process after K steps."""

DEFAULT_STEPS = 4


@dataclass
class Anchor:
    """The checkpoint that a run last saved or was restored from."""

    at: Location
    manifest: Manifest


@dataclass
class Observer:
    """Notes digests of the live items after each of the ``steps`` steps that follow a checkpoint.

    Made by ``CheckpointStore.observe``; call ``note`` once per training step, after the step and before a save.

    Attributes:
        steps: how many steps to note after each checkpoint.
        proof: the result of the last finished comparison, or None: nothing was compared yet.
    """

    anchors: Mapping[str, Anchor]
    run: str
    steps: int = DEFAULT_STEPS
    proof: Proof | None = None
    _anchor: Anchor | None = None
    _noted: dict[int, Digests] = field(default_factory=dict)

    def note(self, step: int, items: Mapping[str, Any]) -> Proof | None:
        """Note one step.

        Args:
            step: number of the step that was just done.
            items: the live objects, as they are saved.

        Returns:
            The verdict, when this was the last step of a comparison with an earlier observation; else None.

        Raises:
            DamagedError: the earlier observation is damaged.
            StoreError: the observation cannot be written.
        """
        anchor = self.anchors.get(self.run)
        if anchor is not self._anchor:
            self._anchor, self._noted = anchor, {}
        if anchor is None or step <= anchor.manifest.step or len(self._noted) >= self._wanted:
            return None
        self._noted[step] = live_digests(items)
        if len(self._noted) < self._wanted:
            return None
        return self._finish(anchor)

    @property
    def _wanted(self) -> int:
        return int(os.environ.get(REHEARSAL, self.steps))

    def _finish(self, anchor: Anchor) -> Proof | None:
        mine = Observation(dict(self._noted))
        before = observation.read(anchor.at, anchor.manifest)
        proof = None
        if before is None:
            observation.seal(anchor.at, anchor.manifest, mine)
        else:
            difference = before.difference(mine)
            reason = f"differs from the run that saved it in {difference}" if difference else None
            proof = self.proof = Proof("differs" if difference else "same", reason, len(mine.steps), "steps")
        if REHEARSAL in os.environ:
            sys.exit(0 if proof is None or proof.verdict == "same" else 1)
        return proof
