"""What the store did, as events: the plain values that listeners and recorders are told."""

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from ckptkit import events
from ckptkit.catalog import shown
from ckptkit.manifest.models import Manifest
from ckptkit.manifest.redaction import redact_text
from ckptkit.problem import Problem
from ckptkit.storage import Entry, Storage

if TYPE_CHECKING:
    from ckptkit.store.arriving import Arrival
    from ckptkit.store.choosing import Chosen
    from ckptkit.store.committed import Committed
    from ckptkit.store.pruning import Pruned, PruneSurvey
    from ckptkit.verification import CheckpointReport

_FAILS_NOT = ("warning",)


@dataclass(frozen=True, slots=True)
class Doing:
    """Something that the store began to do."""

    storage: Storage
    began: float = field(default_factory=time.monotonic)

    def _done(self) -> dict[str, Any]:
        when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        seconds = round(time.monotonic() - self.began, 6)
        return {"store": _text(self.storage.url), "when": when, "seconds": seconds}

    def _to(self, at: Entry) -> dict[str, Any]:
        return {**self._done(), "run": _text(at.run), "step": at.step, "ref": _text(at.ref), "name": _text(at.name)}

    def saved(self, done: "Committed", tags: Collection[str], *, in_place: bool = False) -> events.Saved:
        """Return the event of a save."""
        manifest = done.manifest
        parent = manifest.parent
        return events.Saved(
            **self._to(done.at),
            sequence=manifest.sequence,
            size=manifest.size,
            captured=manifest.grade,
            items=tuple(
                events.ItemSaved(name=name, backend=i.backend, size=_size(manifest, [name]), captured=i.captured.grade)
                for name, i in manifest.items.items()
            ),
            metrics=dict(manifest.metrics),
            counters=dict(manifest.counters),
            config=dict(manifest.config),
            tags=tuple(sorted(tags)),
            parent=None if parent is None else f"{parent.run}@{parent.step}",
            digest=manifest.digest,
            in_place=in_place,
            warnings=_codes(done.warnings),
        )

    def verified(self, report: "CheckpointReport") -> events.Verified:
        """Return the event of one checkpoint's verification."""
        manifest, at = report.manifest, report.at
        most = None if manifest is None else shown.most(shown.read(at, manifest.digest))
        return events.Verified(
            **self._to(at),
            level=report.level,
            good=report.good,
            judged=not report.not_judged,
            problems=_codes(p for p in report.problems if p.severity not in _FAILS_NOT),
            warnings=_codes(p for p in report.problems if p.severity in _FAILS_NOT),
            bytes_read=report.bytes_read,
            remembered=report.known_since is not None,
            digest=None if manifest is None else manifest.digest,
            captured=None if manifest is None else manifest.grade,
            shown=None if most is None else most.words,
            proofs={name: proof.verdict for name, proof in report.proofs.items()},
        )

    def restored(
        self,
        chosen: "Chosen",
        items: Collection[str],
        into: Literal["objects", "folder", "framework"],
        asked: str | None = None,
    ) -> events.Restored:
        """Return the event of a restore."""
        manifest = chosen.manifest
        return events.Restored(
            **self._to(chosen.at),
            into=into,
            asked=_text(asked or chosen.at.run),
            items=tuple(name for name in manifest.items if name in items),
            left=tuple(name for name in manifest.items if name not in items),
            size=_size(manifest, items),
            digest=manifest.digest,
            skipped=tuple(_text(f"{report.at.ref}: {report.reason}") for report in chosen.skipped),
            followed=tuple(map(_text, chosen.followed)),
        )

    def copied(self, one: "Arrival", to: str) -> events.Copied | events.NotCopied:
        """Return the event of a checkpoint that was copied to another store, or was to be."""
        if one.manifest is None or not one.is_there:
            return self.not_copied(one.source, to, one.reason)
        size, digest = one.size, one.manifest.digest
        return events.Copied(**self._to(one.source), to=_text(to), size=size, digest=digest)

    def not_copied(self, at: Entry, to: str, reason: str) -> events.NotCopied:
        """Return the event of a checkpoint that could not be copied."""
        return events.NotCopied(**self._to(at), to=_text(to), reason=_text(reason))

    def pruned(self, planned: "PruneSurvey", done: "Pruned") -> events.Pruned:
        """Return the event of a plan that was carried out."""
        gone = {(at.run, at.name) for at in done.removed}
        removed = [
            _removed(one.at, entry.reasons, entry.candidate.size, one.digest)
            for entry, one in zip(planned.plan.entries, planned.checkpoints, strict=True)
            if (one.at.run, one.at.name) in gone and entry.action == "remove"
        ]
        failures = tuple(map(_text, done.failures))
        purged, plan = len(done.purged), planned.plan.digest
        return events.Pruned(**self._done(), removed=tuple(removed), purged=purged, failures=failures, plan=plan)

    def made_way(self, moved: Sequence[Entry], after: int) -> events.Pruned:
        """Return the event of a run that goes back behind its newer checkpoints."""
        reason = f"lies beyond step {after}, from which training continues"
        removed = tuple(_removed(at, [reason], None, None) for at in moved)
        return events.Pruned(**self._done(), removed=removed, purged=0, failures=(), plan=None)

    def undeleted(self, at: Entry) -> events.Undeleted:
        """Return the event of an undelete."""
        return events.Undeleted(**self._to(at))

    def pinned(self, at: Entry, pinned: bool) -> events.Pinned:
        """Return the event of a pin that was set or taken away."""
        return events.Pinned(**self._to(at), pinned=pinned)

    def tagged(self, at: Entry, tag: str, tagged: bool) -> events.Tagged:
        """Return the event of a tag that was given or taken away."""
        return events.Tagged(**self._to(at), tag=_text(tag), tagged=tagged)


def _removed(at: Entry, reasons: Sequence[str], size: int | None, digest: str | None) -> events.Removed:
    told = tuple(map(_text, reasons))  # they name tags
    return events.Removed(
        run=_text(at.run), step=at.step, ref=_text(at.ref), name=_text(at.name), size=size, digest=digest, reasons=told
    )


def _size(manifest: Manifest, items: Collection[str]) -> int:
    return sum(file.size for name, item in manifest.items.items() if name in items for file in item.files)


def _codes(problems: Iterable[Problem]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(problem.code for problem in problems))


def _text(text: str) -> str:
    """Return it masked, and such as JSON can carry: names of files need not be UTF-8."""
    return redact_text(text).encode("utf-8", "backslashreplace").decode("utf-8")
