"""The `ckptkit` program: commands by name, and how every error ends (two lines on stderr and an exit code)."""

import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Annotated

import typer

from ckptkit import __version__
from ckptkit.cli import (
    adopt,
    backends,
    list_,
    output,
    pin,
    prune,
    restore,
    resume_cmd,
    save,
    show,
    tag,
    undelete,
    verify,
)
from ckptkit.cli.commands import OpenGroup, brought
from ckptkit.cli.help import Command
from ckptkit.cli.session import NoCacheOption, Session, StoreOption
from ckptkit.errors import CkptkitError

app = typer.Typer(
    name="ckptkit",
    cls=OpenGroup,
    help="Save, list, verify, prune and resume training checkpoints of any framework.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


# typer shows the words of pydantic, which reads its values, or (0.26) those of click; the last two lines are click's.
_REWORDED = (
    (r"Value error, ", ""),
    (r"Input should be a valid integer, unable to parse string as an integer", "not a whole number"),
    (r"Input should be a valid number, unable to parse string as a number", "not a number"),
    (r"Input should be greater than or equal to ", "must be at least "),
    (r"Input should be ", "must be "),
    (r"\S+ is not a valid integer( range)?", "not a whole number"),
    (r"\S+ is not in the range x>=(\d+)", r"must be at least \1"),
)


def _version(value: bool) -> None:
    if value:
        output.line(f"ckptkit {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    store: StoreOption = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    no_cache: NoCacheOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No messages and no progress bar on stderr.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    context.obj = Session(store=store, quiet=quiet, cache=not no_cache)


# By what people want to do. A command in no group is shown under "More".
_GROUPS: dict[str, dict[str, Callable[..., object]]] = {
    "Save and take over": {"save": save.save, "adopt": adopt.adopt},
    "Look": {"list": list_.list_checkpoints, "show": show.show, "verify": verify.verify},
    "Keep and remove": {
        "prune": prune.prune,
        "undelete": undelete.undelete,
        "pin": pin.pin,
        "unpin": pin.unpin,
        "tag": tag.tag,
    },
    "Resume": {"resume-cmd": resume_cmd.resume_cmd, "restore": restore.restore},
    "Set up": {"backends": backends.backends},
}
_CLASSES = {"verify": verify.CommandAfterDashes}

for group, members in _GROUPS.items():
    for word, function in members.items():
        app.command(word, cls=_CLASSES.get(word, Command), rich_help_panel=group)(function)


def run() -> None:
    """Entry point of the console script."""
    # Looking for plugins of pydantic reads the metadata of every installed package: a third of our start-up.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    output.open_missing()
    # Names that are not UTF-8 must be shown escaped, never end the command; LANG=C must not either.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # both are TextIOWrapper here
    signal.signal(signal.SIGTERM, _terminated)
    debug = "--debug" in sys.argv[1:] and "--" not in sys.argv[1 : sys.argv.index("--debug")]
    code = _run(debug)
    output.settle()
    sys.exit(code)


def _terminated(number: int, frame: object) -> None:
    raise SystemExit(128 + number)  # unwinds, so that staging is removed


def _run(debug: bool) -> int:
    try:
        code = app(prog_name="ckptkit", standalone_mode=False)  # however it was called
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except CkptkitError as error:
        if debug:
            output.echo(traceback.format_exc().rstrip())
        return output.failure(error.message, error.hint, error.exit_code)
    except typer.Abort:
        return 130
    except BrokenPipeError:
        return output.closed()
    except SystemExit as error:
        # typer turns a closed stdout into exit 1, which would read as "problems found"
        return output.closed() if isinstance(error.__context__, BrokenPipeError) else _code_of(error)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except OSError as error:
        if debug:
            output.echo(traceback.format_exc().rstrip())
        hint = "check the path" if error.filename else "make room where the output goes, or send it elsewhere"
        return output.failure(f"{error.filename or 'output'}: {error.strerror or error}", hint, 10)
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # a usage error of typer's
            return _misused(error.format_message())
        if debug:
            output.echo(traceback.format_exc().rstrip())
        reason = f"internal error: {type(error).__name__}: {error}".splitlines()[0]
        return output.failure(reason, CkptkitError.default_hint, CkptkitError.exit_code)


def _misused(message: str) -> int:
    if "\n" in message:  # called without a command: this is the help
        sys.stderr.write(message + "\n")
        return 2
    for theirs, ours in _REWORDED:
        message = re.sub(theirs, ours, message, count=1)
    return output.failure(message, f"see `{_called()} --help`", 2)


def _code_of(error: SystemExit) -> int:
    return error.code if isinstance(error.code, int) else 0 if error.code is None else 1


def _called() -> str:
    names = {command.name for command in app.registered_commands} | set(brought())
    return " ".join(["ckptkit", *[a for a in sys.argv[1:] if a in names][:1]])


if __name__ == "__main__":
    run()
