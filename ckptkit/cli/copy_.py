"""`ckptkit copy`: copy checkpoints from one store to another, verified where they are read and where they arrive."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ckptkit.cli import interrupts, output
from ckptkit.cli.progress import progress_bar
from ckptkit.cli.session import FormatOption, JobsOption, NoCacheOption, ScratchOption, session_of

if TYPE_CHECKING:
    from ckptkit.store import Arrival, Transfer

_LEFT = "what was copied before that is there; the same command goes on with the rest"
COLUMNS = ("ACTION", "CHECKPOINT", "SIZE", "REASON")


def copy(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SRC", help="The store that they are in.")],
    destination: Annotated[str, typer.Argument(metavar="DST", help="The store to copy them to; created if need be.")],
    run: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="REF", help="Only these: RUN, RUN@STEP, a pattern. Can be repeated."),
    ] = None,
    latest: Annotated[bool, typer.Option("--latest", help="Of each run only the newest that verifies.")] = False,
    level: Annotated[
        Literal["digest", "format"], typer.Option("--level", help="How thoroughly to verify what is read.")
    ] = "digest",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be copied.")] = False,
    format_: FormatOption = None,
    jobs: JobsOption = None,
    scratch: ScratchOption = None,
    no_cache: NoCacheOption = False,
) -> int:
    """Copy checkpoints from one store to another; what is there already and verifies is skipped.

    Each is verified while it is read, verified again where it arrives, and then committed: nothing half is ever there.
    A copy that was cut off goes on when it is called again. Pins and tags go along. A different checkpoint at the same
    step is a conflict: it stays as it is, and the rest is copied.

    Examples:
        ckptkit copy checkpoints backup
        ckptkit copy checkpoints backup --run 'ppo/*' --latest
        ckptkit copy checkpoints backup --dry-run

    Exit codes:
        0: All of them are there.
        1: One does not verify where it is, and was not copied.
        3: They are there, but a pin, a tag or a note of one is not.
        4: There is nothing to copy.
        6: DST has a different checkpoint at the same step.
    """
    from ckptkit.errors import NotFoundError, UsageError

    session = session_of(context)
    if session.store is not None:
        raise UsageError("copy takes no --store", hint="name both stores: ckptkit copy SRC DST")
    reader = session.reader(source)
    if not dry_run:
        interrupts.may_change()
    left = "nothing was copied" if dry_run else _LEFT
    with interrupts.leaving(lambda: left), progress_bar(quiet=session.quiet) as show:
        done = reader.copy_to(
            destination, run, latest=latest, level=level, dry_run=dry_run, on_progress=show, jobs=jobs
        )
    if not done.checkpoints:
        raise NotFoundError(f"{source}: there is no checkpoint to copy")
    chosen = output.chosen(format_)
    extra = {"source": done.source, "destination": done.destination, "dry_run": dry_run, "undone": list(done.undone)}
    records = _records(done, exact=chosen != "table")
    output.rows(
        chosen, "checkpoints", COLUMNS, records, extra, spare=("SIZE",), names=("CHECKPOINT",), quiet=session.quiet
    )
    for line in done.undone:
        output.echo(f"not copied along: {output.safe(line)}")
    output.echo(_told(done), quiet=session.quiet)
    return done.exit_code


def _records(done: "Transfer", *, exact: bool) -> Iterator[tuple[list[object], dict[str, Any]]]:
    for one in done.checkpoints:
        fields = {
            "ref": one.source.ref,
            "action": one.outcome,
            "size": one.size,
            "digest": None if one.manifest is None else one.manifest.digest,
            "reason": one.reason,
        }
        size = one.size if exact else output.size(one.size)
        yield [one.outcome, one.source.ref, size, one.reason], fields


def _told(done: "Transfer") -> str:
    def some(*outcomes: str) -> "list[Arrival]":
        return [one for one in done.checkpoints if one.outcome in outcomes]

    new, there = some("copy", "copied"), some("there")
    word = "would copy" if done.dry_run else "copied"
    told = f"{word} {output.count(len(new), 'checkpoint')} ({output.size(sum(one.size for one in new))})"
    told += f", {len(there)} {'is' if len(there) == 1 else 'are'} there already" if there else ""
    left = some("conflict", "damaged", "gone")
    return (
        told
        + (f"; not copied: {', '.join(one.source.ref for one in left[:5])}" if left else "")
        + (f" and {len(left) - 5} more" if len(left) > 5 else "")
    )
