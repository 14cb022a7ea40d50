"""`ckptkit undelete`: take a removed checkpoint back out of the trash."""

from typing import Annotated

import typer

from ckptkit.cli import output
from ckptkit.cli.session import NoCacheOption, StoreOption, session_of


def undelete(
    context: typer.Context,
    ref: Annotated[str, typer.Argument(help="RUN@STEP, or RUN for what was removed last.")],
    store: StoreOption = None,
    no_cache: NoCacheOption = False,
) -> None:
    """Take a removed checkpoint back out of the trash.

    What prune removed stays in the trash for the grace time, a day unless --grace said otherwise.

    Examples:
        ckptkit undelete ppo/run1@500

    Exit codes:
        0: It is back.
        4: The trash does not hold it.
        6: The step exists again, and nothing was changed.
    """
    session = session_of(context)
    at = session.open(store).undelete(ref)
    output.echo(f"{at.ref} is back", quiet=session.quiet)
    output.line(output.safe(at.storage.where(at)))
