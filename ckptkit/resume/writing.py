"""A resume command written for whatever runs it: a shell, a program (JSON, NUL-separated), Slurm or Kubernetes."""

import base64
import re
from typing import Any, Literal, get_args

from ckptkit.errors import UsageError
from ckptkit.formats import strict_json
from ckptkit.resume import kubernetes, slurm
from ckptkit.resume.command import Command
from ckptkit.resume.quoting import quote_command

Format = Literal["shell", "json", "argv0", "slurm", "k8s"]
FORMATS: tuple[Format, ...] = get_args(Format)
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def format_command(command: Command, format: Format = "shell") -> str:
    r"""Return the command as text; ``argv0`` ends with NUL, all others with a newline.

    Formats: ``shell``: one command for sh, bash, dash and zsh (an argument with a newline spans lines, in quotes);
    ``json``: an object with ``schema_version, argv, cwd, env, run, step, skipped, unlisted`` (an argument that is not
    UTF-8 is ``{"base64": "..."}``); ``argv0``: arguments separated by NUL, for ``xargs -0``; ``slurm``: a script for
    sbatch; ``k8s``: a Job.

    Raises:
        UsageError: the command is empty; an argument holds NUL or is not UTF-8 (only ``json`` carries those); an
            unknown format.
    """
    if format not in FORMATS:
        raise UsageError(f"unknown format {format!r} for a resume command", hint=f"use one of {', '.join(FORMATS)}")
    if not command.argv:
        raise UsageError("the resume command is empty", hint="give the checkpoint a resume template")
    if bad := [name for name in command.env if not _ENV_NAME.fullmatch(name)]:
        raise UsageError(f"not the name of an environment variable: {bad[0][:80]!r}", hint="use letters, digits and _")
    if format == "json":
        return _as_json(command)
    for text in (*command.argv, *command.refresh, command.cwd or ""):
        _refuse_unprintable(text, format)
    if format == "argv0":
        return "".join(f"{argument}\0" for argument in command.argv)
    if format == "shell":
        return f"{quote_command(command.argv)}\n"
    return slurm.script(command) if format == "slurm" else kubernetes.job(command)


def _refuse_unprintable(text: str, format: str) -> None:
    reason = "holds NUL" if "\0" in text else None
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        reason = "is not UTF-8"
    if reason is not None:
        escaped = text.encode("unicode_escape", "backslashreplace").decode("ascii")[:80]
        raise UsageError(f"an argument {reason}: {escaped}", hint=f"{format} cannot carry it; use --format json")


def _as_json(command: Command) -> str:
    document = {
        "schema_version": 1,
        "argv": [_json_text(argument) for argument in command.argv],
        "cwd": None if command.cwd is None else _json_text(command.cwd),
        "env": list(command.env),
        "run": command.run,
        "step": command.step,
        "skipped": [{"ref": _json_text(ref), "reason": _json_text(reason)} for ref, reason in command.skipped],
        "unlisted": [_json_text(path) for path in command.unlisted],
    }
    return strict_json.dumps(document, indent=2).decode("utf-8") + "\n"


def _json_text(text: str) -> Any:
    """Return the text, or its bytes in base64 if it is a file name that is not UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        try:
            return {"base64": base64.b64encode(text.encode("utf-8", "surrogateescape")).decode("ascii")}
        except UnicodeEncodeError as error:
            raise UsageError("an argument holds a lone surrogate, which is not text", hint="correct it") from error
    return text
