"""`ckptkit undelete`: take a removed checkpoint back out of the trash."""

from typing import Annotated

import typer

from ckptkit.cli import naming, output
from ckptkit.cli.session import NoCacheOption, StoreOption, session_of
from ckptkit.errors import CkptkitError


def undelete(
    context: typer.Context,
    refs: Annotated[
        list[str],
        typer.Argument(
            metavar="REF", help="RUN@STEP, RUN for what was removed last, or a path: there, or in the trash."
        ),
    ],
    store: StoreOption = None,
    no_cache: NoCacheOption = False,
) -> int:
    """Take a removed checkpoint back out of the trash.

    What prune removed stays in the trash for the grace time, a day unless --grace said otherwise. See what
    there is with `ckptkit list --trash`.

    Examples:
        ckptkit undelete ppo/run1@500

    Exit codes:
        0: It is back.
        3: Of several, not all could be taken back.
        4: The trash does not hold it.
        6: The step exists again, and nothing was changed.
    """
    session = session_of(context)
    named = naming.named(session, refs, store, removed=True)
    opened = session.keeper(named.url)
    failed = 0
    for ref in named.refs:
        try:
            at = opened.undelete(ref)
        except CkptkitError as error:
            if len(named.refs) == 1:
                raise
            failed += 1
            output.echo(f"not taken back: {output.safe(error.message)}")
            continue
        output.echo(f"{at.ref} is back", quiet=session.quiet)
        output.line(output.safe(at.where))
        if ref.whole and (left := sum(one.step is not None for one in opened.removed([at.run]))):
            more = f"{at.run}: {left} more in the trash; `ckptkit list --trash` says which"
            output.echo(output.safe(more), quiet=session.quiet)
    return 3 if failed else 0
