"""`ckptkit restore`: copy a verified checkpoint's files to another folder."""

from pathlib import Path
from typing import Annotated

import typer

from ckptkit.cli import interrupts, output
from ckptkit.cli.naming import one_named
from ckptkit.cli.progress import progress_bar
from ckptkit.cli.session import (
    ExactRunOption,
    JobsOption,
    LevelOption,
    MetricOption,
    ModeOption,
    NoCacheOption,
    RequireSignatureOption,
    ScratchOption,
    StoreOption,
    session_of,
    signers,
)


def restore(
    context: typer.Context,
    ref: Annotated[str, typer.Argument(help="RUN, RUN@STEP, RUN@latest, RUN@best, or a path to one.")],
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="A new folder.")],
    metric: MetricOption = None,
    mode: ModeOption = None,
    exact_run: ExactRunOption = False,
    level: LevelOption = None,
    link: Annotated[
        bool,
        typer.Option(
            "--link", help="Give files another name rather than copying them: nobody may write to them afterwards."
        ),
    ] = False,
    require_signature: RequireSignatureOption = None,
    jobs: JobsOption = None,
    store: StoreOption = None,
    scratch: ScratchOption = None,
    no_cache: NoCacheOption = False,
) -> None:
    """Copy a checkpoint's files to a new folder, and check every byte on the way.

    RUN means its newest checkpoint that verifies; if it was resumed as another run, the newest one there. DEST appears
    when all files are in it, or not at all.

    Examples:
        ckptkit restore ppo/run1 recovered
        ckptkit restore ppo/run1@best best --metric reward --mode max

    Exit codes:
        0: The folder is complete.
        1: The step that was named does not verify.
        4: There is no such checkpoint, or none that verifies.
        5: Refused: DEST lies in a store, or around one; or nobody who is trusted has signed the step that was named.
        6: DEST exists and is not empty.
    """
    session = session_of(context)
    url, named = one_named(session, ref, store, "restore")
    ranking = session.ranking(str(named), metric, mode)
    depth = session.level(named.run, level)
    with interrupts.leaving(lambda: _left(destination)), progress_bar(quiet=session.quiet) as show:
        chosen = session.reader(url, mirrored=True).copy_out(
            named,
            destination,
            ranking=ranking,
            exact_run=exact_run,
            level=depth,
            on_progress=show,
            jobs=jobs,
            link=link,
            signers=signers(require_signature),
        )
    output.followed(chosen, str(named), quiet=session.quiet)
    for report in chosen.skipped:
        output.echo(f"skipped {report.at.ref}: {output.safe(report.reason)}", quiet=session.quiet)
    output.echo(f"restored {chosen.at.ref}", quiet=session.quiet)
    output.line(output.safe(destination))


def _left(destination: Path) -> str:
    """Return what Ctrl-C left: the folder gets its name last."""
    if destination.is_dir() and any(destination.iterdir()):
        return f"but {destination} was complete before that"
    return f"nothing is left in {destination}"
