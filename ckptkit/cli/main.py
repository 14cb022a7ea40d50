"""The `ckptkit` program: its commands by name, and the options that stand before them."""

import os
import signal
import sys
from typing import Annotated

import typer

from ckptkit import __version__
from ckptkit.cli import completion, failing, interrupts, output
from ckptkit.cli.anywhere import DEBUG, QUIET
from ckptkit.cli.built_in import NAMES
from ckptkit.cli.commands import brought
from ckptkit.cli.group import OpenGroup
from ckptkit.cli.session import NoCacheOption, Session, StoreOption

app = typer.Typer(
    name="ckptkit",
    cls=OpenGroup,
    help="Save, list, verify, prune and resume training checkpoints of any framework.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(value: bool) -> None:
    if value:
        output.line(f"ckptkit {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    store: StoreOption = None,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG)] = False,
    no_cache: NoCacheOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help=QUIET)] = False,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    context.obj = Session(store=store, quiet=quiet, cache=not no_cache)


def run() -> None:
    """Entry point of the console script."""
    # Looking for plugins of pydantic reads the metadata of every installed package: a third of our start-up.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    output.open_missing()
    # Names that are not UTF-8 must be shown escaped, never end the command; LANG=C must not either.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # both are TextIOWrapper here
    signal.signal(signal.SIGTERM, _terminated)
    interrupts.install()
    code = completion.answer(_program) if os.environ.get(completion.VARIABLE) else _run()
    output.settle()
    sys.exit(code)


def _run() -> int:
    return failing.ended(_program, sys.argv[1:], _called)


def _program() -> object:
    return app(prog_name="ckptkit", standalone_mode=False)


def _terminated(number: int, frame: object) -> None:
    raise SystemExit(128 + number)  # unwinds, so that staging is removed


def _called() -> str:
    names = {*NAMES, *brought()}
    return " ".join(["ckptkit", *[a for a in sys.argv[1:] if a in names][:1]])


if __name__ == "__main__":
    run()
