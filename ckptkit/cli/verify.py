"""`ckptkit verify`: judge checkpoints by content."""

import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ckptkit.cli import interrupts, naming, output
from ckptkit.cli.help import Command
from ckptkit.cli.progress import progress_bar
from ckptkit.cli.session import (
    JobsOption,
    LevelOption,
    NoCacheOption,
    RequireSignatureOption,
    ScratchOption,
    StoreOption,
    session_of,
    signers,
)
from ckptkit.errors import UsageError

if TYPE_CHECKING:
    from ckptkit.store import StoreReader
    from ckptkit.verification import Level, Mark, Report


COMMAND = "ckptkit.command"
"""Where the words after ``--`` wait in the context: typer itself would take them for references."""


class CommandAfterDashes(Command):
    """A command that keeps what follows ``--`` apart from its own arguments."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the arguments, then what may follow them."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND]"]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Split the words at ``--`` first."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[COMMAND] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)


CLASS = CommandAfterDashes


def verify(
    context: typer.Context,
    references: Annotated[
        list[str] | None,
        typer.Argument(metavar="REF", help="The whole store if left out; - reads them from stdin, one in each line."),
    ] = None,
    null: Annotated[bool, typer.Option("--null", "-0", help="On stdin they end with NUL, not with the line.")] = False,
    level: LevelOption = None,
    latest: Annotated[bool, typer.Option("--latest", help="Only the newest step of each run.")] = False,
    sample: Annotated[
        str | None, typer.Option("--sample", metavar="5%|3/7", help="A random share, or one of N parts in turn.")
    ] = None,
    factory: Annotated[
        list[str] | None,
        typer.Option("--factory", metavar="ITEM.ROLE=MODULE:FUNCTION", help="Builds a definition, for level resume."),
    ] = None,
    format_: Annotated[
        Literal["table", "tsv", "json", "ndjson", "junit", "sarif", "github", "gitlab", "markdown"] | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="table (on a terminal), tsv (else), json, ndjson, junit, sarif, github, gitlab or markdown.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, metavar="N", help="Level resume: rehearse the resume command for N steps."),
    ] = None,
    seconds: Annotated[int, typer.Option("--seconds", min=1, help="Time limit for each run of the command.")] = 600,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Also write JUnit XML.")] = None,
    sarif: Annotated[Path | None, typer.Option("--sarif", metavar="FILE", help="Also write SARIF.")] = None,
    report: Annotated[
        list[str] | None,
        typer.Option("--report", metavar="FORMAT=FILE", help="Also write it in this format; may be repeated."),
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option("--metrics", metavar="FILE", help="Also write metrics for Prometheus's textfile collector."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="WHEN", help="Only those saved since then: 12h, 7d, 2w ago, or 2026-11-20."),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require",
            metavar="RULE",
            help="Each run must meet it: 'age<=24h', 'count>=2', 'grade>=complete'; else `require` in ckptkit.yaml.",
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="FILE", help="Fail only on what this JSON report does not tell already."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail where loading would import a name that is not on the allowlist.")
    ] = False,
    trust_unchanged: Annotated[
        bool,
        typer.Option("--trust-unchanged", help="Read none again that verified and of which no file was touched since."),
    ] = False,
    require_signature: RequireSignatureOption = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Also list each name that a problem only counts.")] = False,
    jobs: JobsOption = None,
    store: StoreOption = None,
    scratch: ScratchOption = None,
    no_cache: NoCacheOption = False,
) -> int:
    """Verify checkpoints by content: find every changed bit, and what would run code when it is loaded.

    With --level resume every item is loaded by its framework in a process of its own, and what it would produce next
    is compared with what was noted at the save. With --steps N the resume command too (that of the manifest, or
    COMMAND) runs N steps in a scratch copy of the store, and is compared with what the run itself noted. If it noted
    nothing, the command runs twice, and the two runs are compared with each other.

    Examples:
        ckptkit verify
        # The newest of each run, for a nightly job
        ckptkit verify --latest --junit verify.xml
        # Again, reading only what was touched since
        ckptkit verify ppo/run1 --trust-unchanged
        ckptkit verify --since 7d --metrics ckptkit.prom
        # Each run must have two good checkpoints, and a new one every day
        ckptkit verify --require 'count>=2' --require 'age<=24h'
        # Only what a release key has signed
        ckptkit verify ppo/run1@5000 --require-signature release.key.pub

    Exit codes:
        0: All that was looked at verifies.
        1: Problems were found, or a rule is not met.
        3: Nothing is wrong, but not every item is proven to resume (--level resume).
        4: There is nothing to check.
        5: Loading would run code, a path leaves its folder, or nobody who is trusted has signed it.
        7: Nothing is wrong, but a backend that some of it needs is missing or failed.
    """
    from dataclasses import replace

    from ckptkit.cli.reports.written import Reports
    from ckptkit.cli.required import Required

    session = session_of(context)
    reports = Reports.asked(format_, junit, sarif, report or (), metrics)
    with reports.failing():
        known = _known(baseline)
        asked = Required.of(require or (), latest=latest, sample=sample, since=since)
        named = naming.named(session, naming.with_stdin(references or (), null=null), store)
        opened = session.reader(named.url)
    reports.require(opened.require_outside)
    keys = signers(require_signature)

    def level_of(run: str) -> "Level":
        found = session.level(run, level)
        if steps is not None and found != "resume":
            raise UsageError("--steps belongs to --level resume")
        return found

    nothing = interrupts.leaving(lambda: "nothing was changed")
    with reports.failing(), nothing, progress_bar(quiet=session.quiet) as show:
        found = opened.verify(
            named.refs,
            level=level_of,
            strict=strict,
            latest=latest,
            sample=sample,
            factories=_factories(factory or ()),
            on_progress=show,
            trust_unchanged=trust_unchanged,
            jobs=jobs,
            signers=keys,
            since=asked.moment,
        )
    if steps is not None:
        command = context.meta.get(COMMAND)
        with reports.failing():
            found = _rehearsed(opened, found, steps, command, seconds, quiet=session.quiet)
    found = asked.judged(opened, session, named.refs, found, signers=keys is not None)
    found = replace(found, known=known)
    reports.write(found, verbose=verbose, quiet=session.quiet)
    _echo_remarks(found, since=since is not None, quiet=session.quiet)
    return found.exit_code


def _known(baseline: Path | None) -> "Collection[Mark]":
    from ckptkit.cli.reports import baseline as baselines

    return () if baseline is None else baselines.read(baseline)


def _rehearsed(
    store: "StoreReader", report: "Report", steps: int, command: list[str] | None, seconds: int, *, quiet: bool
) -> "Report":
    """Return the report with the verdict of a rehearsal added to each good checkpoint."""
    from dataclasses import replace

    from ckptkit.resume import parse_template
    from ckptkit.store import Chosen

    template = parse_template(command) if command else None
    results = []
    for c in report.checkpoints:
        if c.good and c.manifest is not None:
            done = store.rehearse(Chosen(c.at, c.manifest), steps=steps, template=template, seconds=seconds)
            times = "twice" if done.runs == 2 else "once"
            output.echo(f"{c.at.ref}: the command ran {times}; compared: {_shortened(done.compared)}", quiet=quiet)
            c = c.rehearsed(done.proof)
        results.append(c)
    return replace(report, checkpoints=results)


def _shortened(names: Sequence[str]) -> str:
    if len(names) > 5:
        return f"{', '.join(names[:2])}, ... {names[-1]} ({len(names)} in all)"
    return ", ".join(names) or "nothing"


def _echo_remarks(report: "Report", *, since: bool, quiet: bool) -> None:
    from ckptkit.cli.reports import lines

    sys.stdout.flush()
    if not report.checkpoints and not report.gone:
        why = "nothing was saved since then" if since else "the store holds no checkpoint"
        output.echo(f"nothing to check: {why}", quiet=quiet)
        return
    for text in lines.remarks(report):
        output.echo(text, quiet=quiet)
    if trusted := sum(one.known_since is not None for one in report.checkpoints):
        output.echo(f"{trusted} of them not read again: unchanged since they were verified", quiet=quiet)


def _factories(words: Sequence[str]) -> dict[str, dict[str, str]]:
    result: dict[str, dict[str, str]] = {}
    for word in words:
        key, equals, target = word.partition("=")
        item, dot, role = key.partition(".")
        module, colon, function = target.partition(":")
        if not all((equals, dot, colon, item, role, module, function)):
            raise UsageError(f"--factory {word!r} is not ITEM.ROLE=MODULE:FUNCTION", hint="data.dataset=train:dataset")
        result.setdefault(item, {})[role] = target
    return result
