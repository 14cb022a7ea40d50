"""`ckptkit adopt`: give a manifest to checkpoints that a trainer wrote into a run's folder, in place."""

from pathlib import Path
from typing import Annotated

import typer

from ckptkit.cli import output, telling
from ckptkit.cli.session import NoCacheOption, StoreOption, session_of
from ckptkit.errors import CkptkitError


def adopt(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="Only this run; the whole store if left out.")] = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="TEMPLATE", help="Command that resumes; fields such as {path}.")
    ] = None,
    store: StoreOption = None,
    no_cache: NoCacheOption = False,
) -> int:
    """Give a manifest to checkpoints that a trainer wrote, where they lie.

    Examples:
        ckptkit adopt sac/run2

    Exit codes:
        0: All of them have one now.
        3: Some of them; it is said why the others have none.
        4: There are none.
    """
    from ckptkit.resume import parse_template
    from ckptkit.store import Details, adopting

    session = session_of(context)
    opened = session.open(store)
    details = Details(resume=parse_template(resume) if resume else None, cwd=str(Path.cwd()) if resume else None)
    adopted, failed = 0, []
    for unlisted in opened.unlisted(run):
        newest = None
        for path in unlisted.paths:
            try:
                stem, item, files = adopting.described(path)
                saved = opened.adopt_in_place(unlisted.run, stem, {item: files}, details)
            except CkptkitError as error:
                output.echo(f"{output.safe(path)}: not adopted: {output.safe(error.message)}", quiet=False)
                failed.append(error)
                continue
            adopted += 1
            told = f"adopted {saved.at.ref}: {item} ({unlisted.backend}); {saved.manifest.grade}"
            output.echo(told, quiet=session.quiet)
            output.line(output.safe(saved.at.storage.where(saved.at, saved.at.manifest_file)))
            newest = saved.manifest
        if newest is not None:  # what lacks in one lacks in all of a kind
            telling.tell(newest, quiet=session.quiet)
    if not adopted and not failed:
        output.echo("nothing to adopt: no checkpoint without a manifest was recognised", quiet=session.quiet)
        return 4
    if not failed:
        return 0
    output.echo(failed[0].hint, quiet=session.quiet)
    return 3 if adopted else failed[0].exit_code
