"""`ckptkit index`: what listings know without reading manifests, and how to make them know it anew."""

from typing import Annotated

import typer

from ckptkit.cli import output
from ckptkit.cli.session import FormatOption, NoCacheOption, StoreOption, session_of


def index(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="Only this run.", show_default=False)] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Read all manifests, and write the index anew.")] = False,
    format_: FormatOption = None,
    store: StoreOption = None,
    no_cache: NoCacheOption = False,
) -> int:
    """Say how much of each run listings know without reading manifests; --rebuild reads them all, once.

    The index of a folder lies on this machine; that of a store on a service lies in the store too, for all machines.
    It may be lost at any time: nothing in it is believed without a look at the store, and only listings read it.

    Examples:
        ckptkit index
        ckptkit index ppo/run1 --rebuild

    Exit codes:
        0: It is told, or written.
        4: There is no checkpoint.
    """
    session = session_of(context)
    opened = session.reader(store)
    found = opened.index(run, rebuild=rebuild)
    if not found:
        output.echo(f"{run or opened.storage.url}: there is no checkpoint", quiet=session.quiet)
        return 4
    output.rows(
        output.chosen(format_),
        "runs",
        ("RUN", "CHECKPOINTS", "KNOWN", "IN THE STORE"),
        (
            (
                [one.run, one.checkpoints, one.known, one.where or ""],
                {"run": one.run, "checkpoints": one.checkpoints, "known": one.known, "where": one.where},
            )
            for one in found
        ),
        quiet=session.quiet,
    )
    return 0
