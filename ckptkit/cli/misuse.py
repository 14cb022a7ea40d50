"""What typer refuses in a command line, in this tool's own words, and what may have been meant."""

import difflib
import re
from typing import Any

from ckptkit.cli import pairs
from ckptkit.errors import UsageError

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
_CHOICE = re.compile(r"'([^']*)' is not one of (.*?)\.?$")
_OPTION = re.compile(r"^(No such option:? -[\w-]*)(.*)$")


def understood(error: Any, called: str) -> UsageError:
    """Return what a usage error of typer's means.

    Args:
        error: one of typer's.
        called: the program and command as they were typed.
    """
    message = " ".join(str(error.format_message()).split())
    for theirs, ours in _REWORDED:
        message = re.sub(theirs, ours, message, count=1)
    hint = f"see `{called} --help`"
    if type(error).__name__ == "MissingParameter" and error.param.param_type_name == "argument":
        return _run_forgotten(error) or _missing(error, hint)
    if found := _CHOICE.search(message):
        near = difflib.get_close_matches(found[1].lower(), re.findall(r"'([^']*)'", found[2]), n=1)
        hint = f"did you mean {near[0]}?" if near else hint
    elif (found := _OPTION.match(message)) and (near := re.findall(r"-[\w-]+", found[2])):
        message, hint = found[1], f"did you mean {' or '.join(near)}?"
    return UsageError(message, hint=hint)


def _missing(error: Any, hint: str) -> UsageError:
    """Return what to say where a word is missing: which one, and how the words stand."""
    word = str(error.param.metavar or error.param.name.upper())
    usage = " ".join(str(error.ctx.get_usage()).split()).removeprefix("Usage: ").replace(" [OPTIONS]", "")
    return UsageError(f"{word} is missing", hint=f"write {usage}; {hint}")


def _run_forgotten(error: Any) -> UsageError | None:
    """Return what to say where items are missing because the first of them was taken for the run; else None."""
    if error.param.name != "items":
        return None
    try:
        pairs.require_run(str(error.ctx.params.get("run", "")), items=False)
    except UsageError as forgotten:
        return forgotten
    return None
