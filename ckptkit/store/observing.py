"""Observe a run: note what it does in the steps after a checkpoint, prove that a resume does the same, and say if not.

The same two lines serve three processes. The run that saved seals what it did next and has the checkpoint rehearsed in
the background; a resumed run is compared with what the first one did; and the rehearsal notes what it does.
Static probes cannot see what only shows later (a target network, an unseeded shuffle); this can.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ckptkit import scratch
from ckptkit.backend import Proof
from ckptkit.catalog import shown
from ckptkit.errors import CkptkitError, ConflictError, StoreError, UsageError
from ckptkit.manifest.models import Manifest
from ckptkit.resume import parse_template
from ckptkit.storage import Entry, Storage
from ckptkit.store import anchors, in_flight
from ckptkit.store.anchors import Anchor
from ckptkit.store.background import Background
from ckptkit.store.readback import live_digests
from ckptkit.store.rehearsed import Rehearsed
from ckptkit.verification import numeric, observation
from ckptkit.verification.observation import Digests, Observation

LOG = logging.getLogger("ckptkit")
DEFAULT_STEPS = 8
STEPS = "steps"
Prove = Literal["first", "never"] | int
NoteAfter = Literal["proved", "every"]
Items = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


@dataclass
class _Noting:
    """The steps after one checkpoint.

    Attributes:
        anchor: the checkpoint.
        rehearse: whether it is rehearsed once the steps are noted.
        before: what the first run noted there, if this one was resumed.
        counts: False if it was put back in the very process that wrote it: that shows nothing about a resume.
    """

    anchor: Anchor
    rehearse: bool = False
    before: Observation | None = None
    counts: bool = True
    steps: dict[int, Digests] = field(default_factory=dict)


class Observer:
    """Lets a run prove itself: does a resume from its checkpoints continue as the run itself does?

    Made by ``CheckpointStore.observe``. Call ``note`` once after every training step, before a save of that step; the
    rest happens by itself:

    - after the first save of the process (or each M-th) the digests of the live items after each of the next steps are
      sealed in the checkpoint, and the run's own resume command is rehearsed in the background, at low priority, in a
      scratch copy of the store. The result is in ``shown.json`` (``ckptkit list``: ``rehearsed 8``); a difference is
      logged as a warning of the logger ``ckptkit``, within minutes, and says which part differs first.
    - after a restore of a checkpoint that has such notes the run is compared with them (``observed 8``); a difference
      is a warning at once.
    - in a rehearsal ``note`` ends the process (``SystemExit``) after as many steps as were asked for.

    For hooks: a *step* is one call of ``note``; call it where saves are made (for example at the end of a rollout), so
    that the steps hold at least one update. ``items`` may be a function, called only for steps that are noted. If a
    framework loads its files itself, tell the store with ``CheckpointStore.resumed``. Nothing that goes wrong here ends
    the training: it is logged, once.

    Example:
        >>> observer = store.observe("ppo/run1")
        >>> for step in range(start + 1, 1001):
        ...     train_one_step()
        ...     observer.note(step, items)
        ...     if step % 100 == 0:
        ...         store.save("ppo/run1", step, items, resume=["python", "train.py", "--resume", "{run}@{step}"])
        >>> observer.close()

    Attributes:
        steps: how many steps are noted after a checkpoint.
        proof: the result of the last finished comparison of this process with an earlier one, or None.
    """

    def __init__(
        self,
        storage: Storage,
        run: str,
        *,
        steps: int = DEFAULT_STEPS,
        prove: Prove = "first",
        note_after: NoteAfter = "proved",
        resume: Sequence[str] | str | None = None,
        seconds: int = 1800,
    ) -> None:
        if steps < 1:
            raise UsageError(f"steps={steps}: at least one step must be noted")
        if prove not in ("first", "never") and (isinstance(prove, bool) or not isinstance(prove, int) or prove < 1):
            raise UsageError(f"prove={prove!r} is not valid", hint="use 'first', 'never', or M for every M-th save")
        self.steps = steps
        self.proof: Proof | None = None
        self._storage = storage
        self._run = run
        self._prove = prove
        self._note_after = note_after
        self._anchors = anchors.of(storage)
        # What lies further back has gone on without being noted.
        self._mark = max(0, self._anchors.mark - 1)
        self._noting: list[_Noting] = []
        self._told: set[str] = set()
        template = parse_template(resume) if resume else None
        self._background = Background(storage, run, template, seconds)
        rehearsal = scratch.current()
        self._rehearsed = None if rehearsal is None else Rehearsed(rehearsal)
        self._anchors.provers.add(self)

    def note(self, step: int, items: Items) -> Proof | None:
        """Note one step.

        Args:
            step: number of the step that was just done.
            items: the live objects by item name, as they are saved; or a function that returns them.

        Returns:
            The verdict, when this step finished a comparison with an earlier run; else None.

        Raises:
            SystemExit: in a rehearsal only: it has gone far enough.
        """
        if self._rehearsed is not None:
            self._rehearsed.note(step, lambda: live_digests(_built(items)))
            return None
        if self._prove == "never":
            return None
        self._background.look()
        for anchor in self._anchors.since(self._mark, self._run):
            self._begin(anchor)
        self._mark = self._anchors.mark
        # A run that went back to an older checkpoint does not go on from these.
        self._noting = [one for one in self._noting if one.anchor.step < step and not one.anchor.failed]
        for noting in [one for one in self._noting if self._is_full(one) and one.anchor.durable]:
            self._seal(noting)
        if all(self._is_full(noting) for noting in self._noting):  # they wait until what they belong to is durable
            return None
        try:
            digests = live_digests(_built(items))
        except Exception as error:  # of a stranger's backend, or an item in the middle of something
            self._tell(f"step {step} cannot be noted: {type(error).__name__}: {error}")
            self._noting.clear()
            return None
        going_on = [noting for noting in self._noting if not self._is_full(noting)]
        proofs = [proof for noting in going_on if (proof := self._add(noting, step, digests)) is not None]
        return proofs[-1] if proofs else None

    @property
    def proving(self) -> bool:
        """Whether a rehearsal is under way in the background."""
        return self._background.running

    def look(self) -> None:
        """Report the outcome of the rehearsal in the background, if it is done; ``note`` does so by itself."""
        self._background.look()

    def needed(self) -> Iterator[Entry]:
        """Yield the checkpoints whose proof is under way; ``CheckpointStore.plan_prune`` keeps them in this process."""
        if not in_flight.is_behind():  # who prunes there only asks
            self._background.look()
        noting = [one.anchor.durable for one in list(self._noting) if one.rehearse]
        yield from (durable[0] for durable in noting if durable and self._background.can(durable[1]))
        yield from self._background.rehearsed

    def close(self) -> None:
        """End with the training: one that ends before all steps were noted proves itself with those that were.

        It waits for a checkpoint that is still being saved.
        """
        in_flight.wait(self._storage.url)
        for noting in list(self._noting):
            if noting.before is None and noting.steps:
                self._seal(noting)
        self._noting.clear()

    def _begin(self, anchor: Anchor) -> None:
        if anchor.failed:
            return
        if anchor.number:
            # Counted from 1: "first" is the first; M: the first, and each M-th after it.
            due = anchor.number == 1 if self._prove == "first" else (anchor.number - 1) % int(self._prove) == 0
            if due or self._note_after == "every":
                self._noting.append(_Noting(anchor, rehearse=due))
            return
        self._noting.clear()
        at, manifest = _of(anchor)
        try:
            before = observation.read(at, manifest)
        except (CkptkitError, OSError) as error:
            self._tell(f"{at.ref}: what the first run did next cannot be read: {error}")
            return
        if before is not None:
            counts = manifest.digest not in self._anchors.sealed
            self._noting.append(_Noting(anchor, before=before, counts=counts))

    def _add(self, noting: _Noting, step: int, digests: Digests) -> Proof | None:
        noting.steps[step] = digests
        if noting.before is not None:
            return self._compare(noting, noting.before, step)
        if self._is_full(noting) and noting.anchor.durable:
            self._seal(noting)
        return None

    def _is_full(self, noting: _Noting) -> bool:
        return noting.before is None and len(noting.steps) >= self.steps

    def _seal(self, noting: _Noting) -> None:
        self._noting.remove(noting)
        if noting.anchor.failed:
            return
        at, manifest = _of(noting.anchor)
        try:
            observation.seal(at, manifest, Observation(noting.steps))
        except ConflictError:
            return  # another observer of this process was faster
        except StoreError as error:
            reason = str(error)
            if at.identity is None:
                if not noting.rehearse:
                    return  # its notes would only have served a resume from it
                reason = f"it was removed within {self.steps} steps; keep more, or observe fewer steps"
            self._tell(f"{at.ref}: what the run did next cannot be noted, so nothing is proven: {reason}")
            return
        self._anchors.sealed.add(manifest.digest)
        if noting.rehearse:
            self._background.start(at, manifest, len(noting.steps))

    def _compare(self, noting: _Noting, before: Observation, step: int) -> Proof | None:
        common = before.common(Observation(noting.steps))
        if not common and step <= max(before.steps):
            return None
        at, manifest = _of(noting.anchor)
        differs = before.difference(Observation(noting.steps))
        if differs is None and len(common) < len(before.steps) and step < max(before.steps):
            return None
        self._noting.remove(noting)
        steps = observation.far(common, manifest.step)
        if not common:
            self.proof = Proof("unproven", "none of the steps that the first run noted was repeated")
        elif differs is None:
            self.proof = Proof("same", None, steps, STEPS)
        elif elsewhere := numeric.differences(manifest.environment):
            reason = f"{differs}; the numeric environment differs: {'; '.join(elsewhere)}"
            self.proof = Proof("environment-differs", reason, steps, STEPS)
        else:
            self.proof = Proof("differs", differs, steps, STEPS)
        if "differs" in self.proof.verdict:
            LOG.warning("%s: this resumed run does not continue as the first one did: %s", at.ref, self.proof.reason)
        if noting.counts and self.proof.verdict in ("same", "differs"):
            shown.note(at, manifest.digest, shown.Shown("observed", steps, differs))
        return self.proof

    def _tell(self, text: str) -> None:
        if text.partition(":")[0] not in self._told:
            self._told.add(text.partition(":")[0])
            LOG.warning("%s: %s", self._run, text)


def _of(anchor: Anchor) -> tuple[Entry, Manifest]:
    assert anchor.durable is not None
    return anchor.durable


def _built(items: Items) -> Mapping[str, Any]:
    return items() if callable(items) else items
