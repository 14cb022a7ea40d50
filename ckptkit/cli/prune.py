"""`ckptkit prune`: show what a retention policy would remove; remove only with --apply."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ckptkit.cli import interrupts, naming, output, retention_options
from ckptkit.cli.progress import progress_bar
from ckptkit.cli.session import FormatOption, JobsOption, NoCacheOption, ScratchOption, StoreOption, session_of
from ckptkit.manifest.redaction import redact_text

if TYPE_CHECKING:
    from ckptkit.cli.session import Session
    from ckptkit.retention import RetentionPolicy
    from ckptkit.store import PruneSurvey
    from ckptkit.store.keeper import StoreKeeper

COLUMNS = ("ACTION", "CHECKPOINT", "SIZE", "REASON")
_Count = Annotated[str | None, typer.Option(metavar="N")]


def prune(
    context: typer.Context,
    run: Annotated[
        str | None, typer.Argument(help="Only this run, or those of a pattern such as 'ppo/*'; every run if left out.")
    ] = None,
    keep_last: Annotated[str | None, typer.Option(metavar="N|all", help="The newest N.")] = None,
    keep_every: Annotated[str | None, typer.Option(metavar="STEPS", help="One every so many steps.")] = None,
    keep_best: Annotated[str | None, typer.Option(metavar="N", help="The best N by --metric.")] = None,
    metric: Annotated[str | None, typer.Option(help="For --keep-best.")] = None,
    mode: Annotated[Literal["min", "max"] | None, typer.Option(help="For --keep-best: which is better.")] = None,
    keep_within: Annotated[str | None, typer.Option(metavar="DURATION", help="All of the last 7d, 12h, ...")] = None,
    keep_hourly: _Count = None,
    keep_daily: _Count = None,
    keep_weekly: _Count = None,
    keep_monthly: _Count = None,
    keep_yearly: _Count = None,
    keep_tag: Annotated[list[str] | None, typer.Option(help="Those with this tag.")] = None,
    max_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Drop the oldest until the rest fits into 50GB, ...")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Carry out the plan.")] = False,
    plan: Annotated[str | None, typer.Option(metavar="DIGEST", help="Apply only this reviewed plan.")] = None,
    grace: Annotated[str, typer.Option(metavar="DURATION", help="How long the trash is kept.")] = "24h",
    level: Annotated[
        Literal["presence", "digest", "format"], typer.Option("--level", help="What a checkpoint must pass to count.")
    ] = "format",
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Prune the mirror that ckptkit.yaml names, by the rules that it has there.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", hidden=True)] = False,
    format_: FormatOption = None,
    jobs: JobsOption = None,
    store: StoreOption = None,
    scratch: ScratchOption = None,
    no_cache: NoCacheOption = False,
) -> int:
    """Plan what a retention policy removes, with a reason for each; only --apply removes.

    What is removed goes to the trash and can be taken back for the grace time. The newest that verifies, pinned ones,
    and what a newer run was resumed from are always kept; what is damaged never counts.

    Examples:
        ckptkit prune ppo/run1 --keep-last 3
        ckptkit prune 'ppo/*' --keep-last 3
        ckptkit prune ppo/run1 --keep-last 3 --keep-best 1 --metric reward --mode max --apply

    Exit codes:
        0: The plan was made, and carried out if asked for.
        3: Some could not be removed, or a run was left whole, and it is said why.
        5: Refused, and nothing was removed: nothing verifies, or a tag or metric matches nothing.
        6: The plan is not the one that was reviewed (--plan), and nothing was removed.
        11: Another process saves or prunes there.
    """
    from ckptkit.errors import UsageError
    from ckptkit.retention import parse_duration

    if dry_run and apply:
        raise UsageError("--dry-run and --apply cannot be used together")
    if plan is not None and not apply:
        raise UsageError("--plan is of no use without --apply", hint="add --apply, or leave --plan out to see the plan")
    words = {
        "keep_last": keep_last,
        "keep_every": keep_every,
        "keep_best": keep_best,
        "metric": metric,
        "mode": mode,
        "keep_within": keep_within,
        "keep_hourly": keep_hourly,
        "keep_daily": keep_daily,
        "keep_weekly": keep_weekly,
        "keep_monthly": keep_monthly,
        "keep_yearly": keep_yearly,
        "keep_tags": keep_tag or None,
        "max_size": max_size,
    }
    session = session_of(context)
    given = {name: word for name, word in words.items() if word is not None}
    if mirror:
        store = _mirror(session, store)
    with interrupts.leaving(lambda: "nothing was removed"):
        runs = None if run is None else _runs(session, run, store)
        opened = session.keeper(store)
        policies = _policies(session, opened, runs, given, mirror=mirror)
        with progress_bar(quiet=session.quiet) as show:
            planned = opened.plan_prune(
                policies, run=runs, level=level, grace=parse_duration(grace), on_progress=show, jobs=jobs
            )
        _show(planned, output.chosen(format_), applied=apply, quiet=session.quiet)
        return _finish(session, opened, planned, apply=apply, reviewed=plan, jobs=jobs)


def _show(planned: "PruneSurvey", format_: str, *, applied: bool, quiet: bool) -> None:
    """Print the plan."""
    extra = {
        "plan": planned.plan.digest,
        "applied": applied,
        "notes": list(planned.plan.notes),
        "stopped": dict(planned.stopped),
        "copies": dict(planned.copies),
    }
    records = _records(planned, exact=format_ != "table")
    output.rows(format_, "checkpoints", COLUMNS, records, extra, spare=("SIZE",), names=("CHECKPOINT",), quiet=quiet)


def _runs(session: "Session", word: str, store: str | None) -> str | list[str]:
    """Return the run that a word names, or those that a pattern or a folder stands for."""
    from ckptkit.errors import UsageError
    from ckptkit.store.selecting import is_pattern

    found = naming.named(session, [word], store)
    if found.url != session.url(store):  # only in the whole store one knows what must be kept
        raise UsageError(f"{word}: lies in the store {found.url}", hint="to prune there, name that store with --store")
    if not all(ref.whole for ref in found.refs):
        raise UsageError(
            f"{word}: prune takes runs, not one checkpoint of a run", hint="give RUN, for example ppo/run1"
        )
    runs = [ref.run for ref in found.refs]
    if len(runs) == 1 and not is_pattern(word):
        return runs[0]
    output.echo(f"{output.safe(word)} means {output.count(len(runs), 'run')}", quiet=session.quiet)
    return runs


def _mirror(session: "Session", store: str | None) -> str:
    """Return the URL of the mirror."""
    from ckptkit.errors import UsageError

    if store is not None or session.store is not None:
        raise UsageError("--store and --mirror cannot be used together", hint="prune either of the two at a time")
    told = session.config().mirror
    if told is None:
        raise UsageError("there is no mirror", hint="name one in ckptkit.yaml: `mirror: URL`")
    return told.url


def _policies(
    session: "Session",
    store: "StoreKeeper",
    run: "str | Collection[str] | None",
    words: dict[str, Any],
    *,
    mirror: bool,
) -> "RetentionPolicy | dict[str, RetentionPolicy]":
    """Return the policy of the command line, or else those that ckptkit.yaml gives for the runs."""
    from ckptkit.errors import UsageError
    from ckptkit.retention import policy_from_words
    from ckptkit.store import best_by

    if words and not best_by.is_left_open(words):
        with retention_options.as_typed():
            return policy_from_words(words)
    runs = {at.run for at in store.locate()} if run is None else {run} if isinstance(run, str) else set(run)
    if words:
        with retention_options.as_typed():
            policy_of = best_by.policies(store.storage, words)
            return {name: policy_of(name) for name in runs}
    config = session.config()
    if mirror:
        there = config.mirror.retention if config.mirror is not None else None
        configured = {} if there is None else dict.fromkeys(runs, there)
    else:
        configured = {name: policy for name in runs if (policy := config.for_run(name).retention) is not None}
    if not configured:
        where = "`retention:` of `mirror:`" if mirror else "`retention:`"
        raise UsageError(
            "no retention policy is given", hint=f"add --keep-last N (see --help), or {where} in ckptkit.yaml"
        )
    return configured


def _records(planned: "PruneSurvey", *, exact: bool) -> Iterator[tuple[list[object], dict[str, Any]]]:
    for entry in planned.plan.entries:
        candidate, told = entry.candidate, [redact_text(reason) for reason in entry.reasons]  # they name tags
        size = candidate.size if exact else output.size(candidate.size)
        fields = {
            "ref": candidate.name,
            "action": entry.action,
            "size": candidate.size,
            "good": candidate.good,
            "judged": candidate.judged,
            "reasons": told,
        }
        yield [entry.action, candidate.name, size, "; ".join(told)], fields


def _finish(
    session: "Session",
    store: "StoreKeeper",
    planned: "PruneSurvey",
    *,
    apply: bool,
    reviewed: str | None,
    jobs: int | None,
) -> int:
    plan, quiet = planned.plan, session.quiet
    for note in plan.notes:
        output.echo(output.safe(note), quiet=quiet)
    for run, why in planned.stopped.items():
        output.echo(f"{output.safe(run)}: not pruned, as its pins and tags are not known: {output.safe(why)}")
    for run, around in planned.copies.items():
        text = f"{run}: was copied into the folder of run {around}, and is not pruned unless you name it"
        output.echo(output.safe(text), quiet=quiet)
    for run in plan.refused:
        output.echo(f"{output.safe(run)}: nothing in it verifies, so nothing is removed", quiet=quiet)
    left = [one for one in planned.checkpoints if one.not_judged]
    for one in left:
        output.echo(f"kept {one.at.ref}: {output.safe(one.reason)}", quiet=quiet)
    from ckptkit.storage.remote import SupportsUnseen

    if isinstance(store.storage, SupportsUnseen) and (unseen := store.storage.unseen) is not None:
        output.echo(f"not looked for: {unseen}", quiet=quiet)
    garbage = f", and {len(planned.garbage)} old leftovers" if planned.garbage else ""
    if not apply:
        output.echo(
            f"plan: keep {len(plan.kept)} ({output.size(plan.kept_bytes)}), remove {len(plan.removed)} "
            f"({output.size(planned.frees())}){garbage}; nothing was changed. Carry it out with --apply "
            f"(or --apply --plan {plan.digest})",
            quiet=quiet,
        )
        return 3 if planned.stopped else 0
    freed = planned.frees()
    with interrupts.leaving(lambda: _left(planned)), progress_bar(quiet=quiet) as show:
        done = store.prune(planned, expected=reviewed, on_progress=show, jobs=jobs)
    for failure in done.failures:
        output.echo(f"not removed: {output.safe(failure)}")
    gone = {*done.removed}
    size = sum(e.candidate.size for e, one in zip(plan.entries, planned.checkpoints, strict=True) if one.at in gone)
    size = freed if len(gone) == len(plan.removed) else size
    output.echo(
        f"removed {len(done.removed)} ({output.size(size)}) to the trash, purged {len(done.purged)} old "
        "leftovers; `ckptkit undelete` takes back what is in the trash",
        quiet=quiet,
    )
    return 3 if done.failures or plan.refused or planned.stopped or left else 0


def _left(planned: "PruneSurvey") -> str:
    """Return what Ctrl-C left: which of those that were to be removed are gone by now."""
    decided = zip(planned.plan.entries, planned.checkpoints, strict=True)
    to_remove = [one.at for entry, one in decided if entry.action == "remove"]
    gone = [at.ref for at in to_remove if at.identity is None]
    if not gone:
        return "nothing was removed"
    some = ", ".join(gone if len(gone) < 6 else [*gone[:4], f"and {len(gone) - 4} more"])
    return f"{len(gone)} of {len(to_remove)} were removed to the trash ({some}); `ckptkit undelete` takes them back"
