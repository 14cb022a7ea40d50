"""All commands as one group: the built-in ones, then what other distributions bring; typing mistakes are answered."""

from typing import Any

from typer.core import TyperGroup

from ckptkit.cli import built_in, commands, habits
from ckptkit.cli import help as help_pages
from ckptkit.cli.plain_values import taken_plainly


class OpenGroup(TyperGroup):
    """The commands of the program: the built-in ones, then what other distributions bring."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options that stand before a command."""
        return taken_plainly(super().get_params(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of that name, or None. A built-in command cannot be replaced."""
        found = built_in.load(cmd_name)
        return found if found is not None else commands.load(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return name, command and what follows it; a word that is no command is answered with the right one."""
        if not ctx.resilient_parsing and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            habits.refuse(args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, the built-in ones first."""
        return [*built_in.NAMES, *(name for name in commands.brought() if name not in built_in.NAMES)]

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write what the program is for."""
        help_pages.write_text(self.help or "", formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands in groups, each with its whole summary, then the options before a command."""
        found = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        help_pages.write_commands({name: command for name, command in found.items() if not command.hidden}, formatter)
        help_pages.write_parameters(self, ctx, formatter)
