"""StoreReader: looks into a store (list, locate, verify, resume, copy), and changes no checkpoint of it."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ckptkit.progress import Meter, Progress
from ckptkit.store import selecting
from ckptkit.store.copier import StoreCopier
from ckptkit.store.reference import Ref

if TYPE_CHECKING:
    from datetime import datetime

    from ckptkit.events import Verified
    from ckptkit.health import Finding
    from ckptkit.manifest.models import Resume
    from ckptkit.signing.keyring import Keyring
    from ckptkit.store.choosing import Chosen
    from ckptkit.store.rehearsal import Outcome
    from ckptkit.store.resuming import ResumeCommand
    from ckptkit.verification import CheckpointReport, Level, Report, Verifier
    from ckptkit.verification.ruling import Rules

# What only some of the methods need they import themselves: a listing takes less time than importing it all.


class StoreReader(StoreCopier):
    """Reads checkpoints of many runs below one folder; ``CheckpointStore`` is one that saves them too.

    Args:
        url: a path or ``file://`` URL; or a ``Storage`` that is open already.
        cache: know what was verified before, and keep what is found, in the user's cache folder; see
            docs/explanation/why-content-decides.md.
        listeners: as of ``listen``.
        mirror: a store that this one is copied to: what is resumed from may be there, too; see
            docs/how-to/copy-and-mirror.md.

    Example:
        >>> for one in StoreReader("checkpoints").list():
        ...     print(one.at.ref, one.summary)
    """

    def verify(
        self,
        ref: str | Ref | Sequence[str | Ref] | None = None,
        *,
        level: "Level | Callable[[str], Level]" = "format",
        strict: bool = False,
        latest: bool = False,
        sample: str | None = None,
        factories: "Mapping[str, Mapping[str, str]] | None" = None,
        on_bytes: Callable[[int], None] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        trust_unchanged: bool = False,
        jobs: int | None = None,
        signers: "Keyring | None" = None,
        since: "datetime | None" = None,
        rules: "Sequence[str] | Rules" = (),
        expected: Collection[str] = (),
        verifier: "Verifier | None" = None,
    ) -> "Report":
        """Verify what references cover, or the whole store; damage is in the report, never raised.

        With a whole run its pins and tags are verified too.

        Args:
            ref: as of ``locate``; or several of them, of which none is verified twice.
            level: how far to look; or a function that says it by the run's name.
            strict: fail where loading would import what is not on the allowlist.
            latest: only the newest step of each run.
            sample: only a random share (``5%``), or one of so many parts in turn (``3/7``).
            factories: by item, by role, ``module:function`` of what builds a definition (level ``resume``).
            on_bytes: called with the size of each block digested.
            on_progress: told how far it is, in bytes digested, of all that the manifests list.
            trust_unchanged: do not read again what was verified, and is unchanged since.
            jobs: how many threads read and digest; all cores when left out.
            signers: keys, as of ``Keyring.of``, by one of which each checkpoint must be signed.
            since: only what was saved then or later, and that of which nobody knows when it was.
            rules: that each run must meet (``age<24h``; see docs/reference/rules.md), or a function that says them by
                the run's name.
            expected: runs that must be there, for these rules: one without a checkpoint meets none of them.
            verifier: does it in its own way; ``level``, ``strict``, ``factories``, ``jobs`` and ``signers`` are then
                its own.

        Raises:
            NotFoundError: a reference covers nothing.
            UsageError: ``sample`` is neither a share nor a part, or a rule is none.
        """
        from ckptkit.store import verifying

        words: Sequence[str | Ref] = (ref,) if isinstance(ref, (str, Ref)) else ref or ()
        refs = selecting.refs_of(self.storage, words)
        covered = self._covered(refs) if refs else self.locate()
        if since is not None:
            covered = [one.at for one in self.list(words or None, since=since)]
        report = verifying.verify(
            verifying.chosen(covered, latest=latest, sample=sample),
            runs={one.run for one in refs if one.whole} if refs else None,
            level=level,
            verifier=verifier,
            strict=strict,
            factories=factories,
            meter=Meter("verify", on_progress=on_progress, on_bytes=on_bytes),
            trust_unchanged=trust_unchanged,
            jobs=jobs,
            signers=signers,
            ledger=self.ledger,
            each=self._verified,
        )
        return self.judged(report, rules, expected, signers=signers is not None) if rules else report

    def judged(
        self,
        report: "Report",
        rules: "Sequence[str] | Rules",
        expected: Collection[str] = (),
        *,
        signers: bool = False,
    ) -> "Report":
        """Return a report with what each rule says of each run in it; see ``verify``, which does the same.

        Args:
            report: what was verified.
            rules: as of ``verify``.
            expected: as of ``verify``.
            signers: whether it was said whose signatures count.

        Raises:
            UsageError: a rule is none, or is about signatures and nobody said whose count.
        """
        from dataclasses import replace

        from ckptkit.verification import ruling

        found = ruling.judged(report.checkpoints, ruling.rules_of(rules), expected, signers=signers)
        return replace(report, rules=found)

    def _verified(self, began: float, report: "CheckpointReport") -> None:
        def happened() -> "Verified":
            from ckptkit.store.happened import Doing  # where nobody listens, nobody waits for its import

            return Doing(self.storage, began).verified(report)

        self._listeners.tell(happened)

    def resume_command(
        self,
        ref: "str | Ref | Chosen",
        *,
        template: Sequence[str] | None = None,
        default: "Resume | None" = None,
        by_trainer: "Mapping[str, Resume] | None" = None,
        overrides: Sequence[str] = (),
        again: Sequence[str] = (),
    ) -> "ResumeCommand":
        """Return the command that resumes from the newest checkpoint that verifies; paths in it are absolute.

        Args:
            ref: as of ``choose``, or what it returned.
            template: used instead of the one that was saved, as an argument list.
            default: who says how to resume, where the checkpoint does not; else another checkpoint of its run does.
            by_trainer: commands that resume what a trainer wrote, by the kind of its layout, where nothing else does;
                else the trainer's own command is taken, if it has one for all programs.
            overrides: arguments that are appended, so that they win.
            again: what a job that is started again must pass to `ckptkit resume-cmd` besides the run.

        Raises:
            UsageError: nothing says how to resume it, or a field cannot be filled by this checkpoint.
            CkptkitError: nothing can be resumed from; see ``choose``.
        """
        from ckptkit.store import resuming

        # What is in the mirror is copied here: only so the command can have a path to it.
        chosen = self.materialise(ref) if isinstance(ref, (str, Ref)) else ref
        return resuming.resume_command(
            self.storage,
            chosen,
            template=template,
            default=default,
            by_trainer=by_trainer,
            overrides=overrides,
            again=again,
        )

    def rehearse(
        self,
        ref: "str | Ref | Chosen",
        *,
        steps: int = 8,
        template: Sequence[str] | None = None,
        seconds: float = 600,
    ) -> "Outcome":
        """Run the resume command from a checkpoint, in a scratch copy of the store, and compare what it does.

        It is held against what the run itself noted after the checkpoint; if it noted nothing, the command runs twice,
        and the two are compared with each other. A verdict is kept with the checkpoint: ``rehearsed 8``.

        Args:
            ref: as of ``choose``, or what it returned.
            steps: how far to go.
            template: the command, as an argument list; that of the manifest when left out.
            seconds: limit for each run of the command.

        Raises:
            UsageError: nothing says how to resume it.
            StoreError, DamagedError: the scratch copy cannot be written, or the checkpoint changed under it.
            CkptkitError: nothing can be resumed from; see ``choose``.
        """
        from ckptkit.store import rehearsal

        chosen = self.choose(ref) if isinstance(ref, (str, Ref)) else ref
        return rehearsal.rehearse(self.storage, chosen, steps=steps, template=template, seconds=seconds)

    def examine(self) -> "Iterator[Finding]":
        """Yield how the store is: there, writable, with room; what its file system can do; what lies in its runs.

        A save is tried in a scratch folder inside it, of which nothing stays. Whatever is wrong is yielded, not raised.
        """
        from ckptkit.store import examining

        return examining.examine(self.storage, self.ledger)

    def require_outside(self, path: Path) -> None:
        """Raise RefusedError for a path in the store, around it, or in some checkpoint: nothing may be written there.

        For files that a program writes about a store.
        """
        self.storage.require_outside(path)
