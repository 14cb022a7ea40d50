"""Which rules `ckptkit verify` judges runs by: those of the command line, else those of ckptkit.yaml."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from ckptkit.cli.session import Session
from ckptkit.cli.since import parse_since
from ckptkit.errors import UsageError
from ckptkit.rules import Rule, parse

if TYPE_CHECKING:
    from ckptkit.store import StoreReader
    from ckptkit.store.reference import Ref
    from ckptkit.verification import Report


@dataclass(frozen=True, slots=True)
class Required:
    """What was asked for.

    Attributes:
        given: rules of the command line.
        some: whether only some checkpoints of each run are looked at.
        sampled: whether even the newest may be left out.
        moment: only what was saved since then is looked at.
    """

    given: Sequence[Rule]
    some: bool
    sampled: bool
    moment: datetime | None

    @classmethod
    def of(cls, rules: Sequence[str], *, latest: bool, sample: str | None, since: str | None) -> "Required":
        """Return what the options ask for.

        Raises:
            UsageError: one is no rule, or can never be met; or a moment is none.
        """
        given = [parse(text) for text in rules]
        if latest and (never := [rule.text for rule in given if rule.name == "count" and rule.value > 1]):
            raise UsageError(f"{never[0]} is never met with --latest, which looks at one", hint="leave one of them out")
        moment = None if since is None else parse_since(since)
        return cls(given, latest or moment is not None, sample is not None, moment)

    def judged(
        self, store: "StoreReader", session: Session, refs: "Sequence[Ref]", report: "Report", *, signers: bool
    ) -> "Report":
        """Return the report with what each rule says; see docs/reference/rules.md for which ones."""
        if self.given:
            return store.judged(report, lambda run: self.given, signers=signers)

        def whole(run: str) -> bool:
            return not refs or any(ref.whole and _covers(ref.run.rstrip("/"), run) for ref in refs)

        def rules_of(run: str) -> Sequence[Rule]:
            if self.sampled or not whole(run):
                return ()
            told = session.config().for_run(run).require or ()
            return [rule for rule in told if not (self.some and rule.name == "count")]

        named = [run for run, _ in session.config().runs if not any(mark in run for mark in "*?[")]
        return store.judged(report, rules_of, [run for run in named if rules_of(run)], signers=signers)


def _covers(pattern: str, run: str) -> bool:
    return fnmatchcase(run, pattern) or run.startswith(f"{pattern}/")
