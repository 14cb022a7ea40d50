"""How every error ends: two lines on stderr and an exit code; one JSON object where the command was to print JSON."""

import contextlib
import itertools
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import typer

from ckptkit.cli import interrupts, misuse, output
from ckptkit.errors import CkptkitError, StoreError, UsageError
from ckptkit.manifest.redaction import redact_text


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, as it is told.

    Attributes:
        error: name of the class in ``ckptkit.errors``; ``CkptkitError`` stands for a bug.
        message: one line that names the file and the reason.
        hint: one line that says what to do.
        exit_code: that of the class.
        item: the item that it is about, or None.
        file: the file that the system refused, or None.
    """

    error: str
    message: str
    hint: str
    exit_code: int
    item: str | None = None
    file: str | None = None


def ended(program: Callable[[], object], words: Sequence[str], called: Callable[[], str]) -> int:
    """Run the program and return its exit code; whatever it raises is told on stderr.

    Args:
        program: runs a command and returns its exit code, or None.
        words: of the command line, without the program's name.
        called: returns the program and command as they were typed, for ``see `ckptkit list --help` ``.
    """
    before = list(words[: words.index("--")] if "--" in words else words)
    debug, as_json = "--debug" in before, _wants_json(before)
    try:
        code = program()
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (interrupts.Interrupted, KeyboardInterrupt, typer.Abort) as error:
        return interrupts.told(error)
    except BrokenPipeError:
        return output.closed()
    except SystemExit as error:
        # typer turns a closed stdout into exit 1, which would read as "problems found"
        return output.closed() if isinstance(error.__context__, BrokenPipeError) else _code_of(error)
    except Exception as error:
        if isinstance(help_text := getattr(error, "message", None), str) and _is_help(error, help_text):
            sys.stderr.write(help_text + "\n")
            return 2
        if debug and not _is_usage(error):
            output.echo(traceback.format_exc().rstrip())
        return _told(failure_of(error, called()), as_json=as_json)


def failure_of(error: Exception, called: str) -> Failure:
    """Return how an error is told, with what looks like a secret masked; ``called`` is program and command as typed."""
    failure = _failure(error, called)
    item, file = (None if one is None else redact_text(one) for one in (failure.item, failure.file))
    return replace(failure, message=redact_text(failure.message), hint=redact_text(failure.hint), item=item, file=file)


def _failure(error: Exception, called: str) -> Failure:
    if _is_usage(error):
        error = misuse.understood(error, called)
    if isinstance(error, CkptkitError):
        hint = f"see `{called} --help`" if error.hint == UsageError.default_hint else error.hint
        return Failure(type(error).__name__, error.message, hint, error.exit_code, error.item, _file_of(error))
    if isinstance(error, OSError):
        hint = "check the path" if error.filename else "make room where the output goes, or send it elsewhere"
        message = f"{error.filename or 'output'}: {error.strerror or error}"
        return Failure(StoreError.__name__, message, hint, StoreError.exit_code, file=_file_of(error))
    reason = f"internal error: {type(error).__name__}: {error}".splitlines()[0]
    return Failure(CkptkitError.__name__, reason, CkptkitError.default_hint, CkptkitError.exit_code)


def _file_of(error: BaseException) -> str | None:
    """Return the file that the system named when it refused."""
    for one in (error, error.__cause__):
        if isinstance(one, OSError) and isinstance(one.filename, (str, bytes)):
            return os.fsdecode(one.filename)
    return None


def _is_usage(error: Exception) -> bool:
    """Whether it is a usage error of typer's, which has no public class for all of them."""
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def _is_help(error: Exception, text: str) -> bool:
    return _is_usage(error) and "\n" in text  # called without a command


def _wants_json(words: Sequence[str]) -> bool:
    given = [value for word, value in itertools.pairwise(words) if word == "--format"]
    given += [word.partition("=")[2] for word in words if word.startswith("--format=")]
    return bool(given) and given[-1] in ("json", "ndjson")


def _told(failure: Failure, *, as_json: bool) -> int:
    """Print a failure, and return its exit code."""
    with contextlib.suppress(OSError):  # the data may have nowhere to go, which is no reason to be silent about why
        sys.stdout.flush()
    try:
        if as_json:  # on one line: a program takes the last line of stderr, whatever was told before
            document = {"schema_version": output.SCHEMA_VERSION, **asdict(failure)}
            sys.stderr.write(json.dumps(document) + "\n")
        else:
            sys.stderr.write(f"ckptkit: {output.safe(failure.message)}\n")
            if failure.hint:
                sys.stderr.write(f"  {output.safe(failure.hint)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):  # a pipe that was closed, a full device: nobody is there to be told
        output.closed()
    return failure.exit_code


def _code_of(error: SystemExit) -> int:
    return error.code if isinstance(error.code, int) else 0 if error.code is None else 1
