"""Options that may stand before a command or after it: `ckptkit list -q` is `ckptkit -q list`."""

from functools import cache
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ckptkit.cli.plain_values import taken_plainly
from ckptkit.cli.session import Session

QUIET = "No messages and no progress bar on stderr."
DEBUG = "Show tracebacks."


class AnywhereCommand(TyperCommand):
    """A command that takes them too, unless it has options of these names itself."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the command's own parameters, then the shared ones, then help."""
        own = super().get_params(ctx)
        if ctx.resilient_parsing:  # a shell asks
            from ckptkit.cli import completion

            for parameter in own:
                completion.attach(parameter, self.name)
        taken = {word for parameter in own for word in parameter.opts}
        shared = [parameter for parameter in _shared() if taken.isdisjoint(parameter.opts)]
        last = 1 if own and own[-1].name == "help" else 0
        return taken_plainly([*own[: len(own) - last], *shared, *own[len(own) - last :]])


def _hush(context: typer.Context, value: bool) -> bool:
    if value and isinstance(context.obj, Session):
        context.obj.quiet = True
    return value


@cache
def _shared() -> tuple[Any, ...]:
    app = typer.Typer(add_completion=False)

    @app.command(add_help_option=False)
    def _options(
        quiet: Annotated[bool, typer.Option("--quiet", "-q", callback=_hush, expose_value=False, help=QUIET)] = False,
        debug: Annotated[bool, typer.Option("--debug", expose_value=False, help=DEBUG)] = False,  # the program looks
    ) -> None: ...

    return tuple(typer.main.get_command(app).params)
