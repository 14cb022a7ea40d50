"""Commands that other distributions add to `ckptkit`, through the entry-point group ``ckptkit.commands``.

An entry point names a function with typer annotations, or a ``typer.Typer`` (a command with subcommands)::

    [project.entry-points."ckptkit.commands"]
    check-data = "ckptkit_data.command:check_data"

The function returns its exit code. Looking for entry points costs more than most commands do, so it is done only if the
typed name is not a built-in command, or if ``--help`` has to list them all.
"""

from collections.abc import Callable, Sequence
from typing import Any

import typer

from ckptkit import extensions
from ckptkit.cli import help as pages
from ckptkit.errors import BackendError
from ckptkit.extensions import Extension, LoadError
from ckptkit.formats.escaped import escaped

GROUP = "ckptkit.commands"
_REPAIR = "repair or uninstall its package; the other commands work without it"


def brought() -> list[str]:
    """Return the names of all commands that other distributions bring; nothing is imported."""
    return list(extensions.installed(GROUP))


def load(name: str) -> Any:
    """Return the command that a distribution brings under this name, or None when there is none.

    A command that cannot be loaded comes back as one that says so in one line and ends with exit code 7.
    """
    found = extensions.installed(GROUP).get(name, [])
    if not found:
        return None
    try:
        return _command(name, _only(found).load())
    except LoadError as error:
        return _stand_in(name, str(error))
    except Exception as error:  # typer cannot make a command of it
        return _stand_in(name, f"{type(error).__name__}: {error}")


def _only(found: Sequence[Extension]) -> Extension:
    if len(found) > 1:
        names = ", ".join(sorted(one.package or one.value for one in found))
        raise LoadError(f"LookupError: more than one distribution brings it ({names})")
    return found[0]


def _command(name: str, target: Any) -> Any:
    if isinstance(target, typer.Typer):
        target.info.name = name
        return typer.main.get_group(target)
    if not callable(target):
        raise TypeError(f"is a {type(target).__name__}, not a function and not a typer.Typer")
    return of_function(name, target)


def of_function(name: str, function: Callable[..., Any], **settings: Any) -> Any:
    """Return a function with typer annotations as a command; the settings are those of ``typer.Typer.command``."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(name, **{"cls": pages.Command, **settings})(function)
    return typer.main.get_command(app)


def _stand_in(name: str, reason: str) -> Any:
    text = escaped(" ".join(reason.split()), 200)

    def broken() -> None:
        raise BackendError(f"command {name!r} cannot be loaded: {text}", hint=_REPAIR)

    # Whatever was typed after the name, even --help, the answer is why it cannot be loaded.
    anything = {"ignore_unknown_options": True, "allow_extra_args": True}
    told = f"(cannot be loaded: {text})"
    return of_function(name, broken, help=told, short_help=told, context_settings=anything, add_help_option=False)
