"""Templates of resume commands: an argument list whose fields expand inside one argument, never into two.

``{path}``, ``{items.agent}`` or ``{metrics.reward}`` stand for a value, ``{{`` and ``}}`` for braces, and
``{path!hydra}`` for a value in Hydra's own quotes (Lightning's ``epoch=12-step=500.ckpt`` needs them after ``key=``).
"""

import difflib
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from ckptkit.errors import UsageError

FIELDS: Mapping[str, str] = {
    "path": "what the trainer wrote, if that is a single path; else the checkpoint's folder",
    "checkpoint": "folder of the checkpoint",
    "run": "name of the run",
    "step": "step of the checkpoint",
    "store": "path or URL of the store",
    "items.NAME": "folder or file of one item",
    "counters.NAME": "a counter, such as episode",
    "metrics.NAME": "a metric, such as reward",
    "config.NAME": "a value of the run's configuration, such as env; config.model.size of a table in it",
}
"""What a template may use, and what it means."""

_PATHS = ("path", "checkpoint", "store", "items")
_ROOTS = {name.partition(".")[0] for name in FIELDS}
_GROUPS = {name.partition(".")[0] for name in FIELDS if "." in name}
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"([a-z]+)(?:\.([^!]+))?(?:!(.*))?", re.DOTALL)
_OPERATORS = frozenset({"&&", "||", "|", ";", "&", ">", ">>", "<", "<<", "(", ")", "2>&1"})
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")

Value = str | int | float | os.PathLike[str]


def parse_template(text: str | Sequence[str], *, where: str = "the resume template") -> list[str]:
    """Return the argument list behind a template, with its fields checked.

    Args:
        text: a list of arguments, or one line as a shell reads it: quotes group, a backslash at the end of a line
            continues it. No shell will run it, so operators are refused, and ``$NAME`` and ``*`` stay as they are.
        where: what to call it in messages.

    Raises:
        UsageError: empty, unclosed quotes, a shell operator, NUL, or a brace or field without meaning.
    """
    arguments = _split(text, where) if isinstance(text, str) else list(text)
    if not arguments or not arguments[0].strip():
        raise UsageError(f"{where} is empty", hint="for example 'python train.py --resume {path}'")
    if _ASSIGNMENT.match(arguments[0]):
        hint = f"start with env: 'env {arguments[0]} ...'"
        raise UsageError(f"{where} starts with an assignment: {arguments[0][:80]!r}", hint=hint)
    for argument in arguments:
        _refuse_nul(argument, where)
        for match in _PIECE.finditer(argument):
            piece = _parse_piece(match, where)
            if piece is not None and piece[0].partition(".")[0] not in _ROOTS:
                raise _unknown(match[0], FIELDS, where)
    return arguments


def expand(
    template: Sequence[str],
    values: Mapping[str, Value | Mapping[str, Value]],
    overrides: Sequence[str] = (),
) -> list[str]:
    """Return the argument list for one checkpoint.

    Args:
        template: what ``parse_template`` returned (or a manifest holds).
        values: field (see ``FIELDS``) -> value; ``items``, ``counters``, ``metrics`` and ``config`` -> mappings
            of their own.
        overrides: arguments that are appended as they are, so that a later option wins.

    Raises:
        UsageError: a field that does not exist (the message names those that do), or a value that holds NUL.
    """
    known: dict[str, Value] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            known |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            known[name] = value
    for override in overrides:
        _refuse_nul(override, "an override")
    return [_PIECE.sub(lambda match: _replace(match, known), argument) for argument in template] + list(overrides)


def pieces_of(argument: str) -> Iterator[tuple[str, str]]:
    """Yield the fields of one argument of a template, each with the text that follows it."""
    for match in _PIECE.finditer(argument):
        piece = _parse_piece(match, "the resume template")
        if piece is not None:
            yield piece[0], argument[match.end() :]


def _split(text: str, where: str) -> list[str]:
    text = text.replace("\\\n", "")
    try:
        arguments = shlex.split(text)
        apart = shlex.shlex(text, posix=True, punctuation_chars=True)
        apart.whitespace_split, apart.commenters = True, ""
        unquoted = list(apart) != arguments
    except ValueError as error:
        hint = "close every quote, and write \\' for a literal quote"
        raise UsageError(f"{where} cannot be split: {error}", hint=hint) from error
    if unquoted or not _OPERATORS.isdisjoint(arguments):
        hint = "give one command; for more of them write a script, or \"sh -c '...' -- {path}\""
        raise UsageError(f"{where} holds a shell operator (such as ; | & > parentheses)", hint=hint)
    return arguments


def _parse_piece(match: re.Match[str], where: str) -> tuple[str, bool] | None:
    """Return the field and whether Hydra quotes it, or None for a literal brace."""
    if match[0] in ("{{", "}}"):
        return None
    if match[1] is None:
        hint = "write {{ and }} for literal braces"
        raise UsageError(f"{where} has a single {match[0]} in {match.string[:80]!r}", hint=hint)
    parts = _NAME.fullmatch(match[1])
    root, name, conversion = parts.groups() if parts else (match[1], None, None)
    if parts is None or (root in _GROUPS) != (name is not None):
        raise _unknown(match[0], FIELDS, where)
    if conversion not in (None, "hydra"):
        raise UsageError(f"{where} has an unknown conversion in {match[0]}", hint="the only one is !hydra")
    return (root if name is None else f"{root}.{name}"), conversion is not None


def _replace(match: re.Match[str], known: Mapping[str, Value]) -> str:
    piece = _parse_piece(match, "the resume template")
    if piece is None:
        return match[0][0]
    field, hydra = piece
    if field not in known:
        raise _unknown(match[0], known, "the resume template")
    text = os.fspath(value) if isinstance(value := known[field], os.PathLike) else str(value)
    _refuse_nul(text, f"the value of {match[0]}")
    if match.start() == 0 and text.startswith("-") and field.partition(".")[0] in _PATHS:
        text = f"./{text}"  # the same file, but no program takes it for an option
    return _quote_for_hydra(text) if hydra else text


def _quote_for_hydra(text: str) -> str:
    """Return the text in Hydra's single quotes, so that neither Hydra nor OmegaConf sees anything special in it.

    Backslashes count only where they precede ``${``, a quote or the end; there they are doubled.
    Source: https://hydra.cc/docs/advanced/override_grammar/basic/#quoted-values and OmegaConf's interpolation escapes.
    """
    text = re.sub(r"(\\*)\$\{", lambda m: m[1] * 2 + "\\${", text)
    text = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text)
    return f"'{text}'"


def _unknown(field: str, known: Mapping[str, object], where: str) -> UsageError:
    names = sorted(known)
    near = difflib.get_close_matches(field.strip("{}").partition("!")[0], names, n=1)
    hint = f"did you mean {{{near[0]}}}?" if near else "write {{ and }} for literal braces"
    return UsageError(f"{where} has no field {field[:80]}; there are {', '.join(names)}", hint=hint)


def _refuse_nul(text: str, where: str) -> None:
    if "\0" in text:
        raise UsageError(f"{where} holds NUL, which no command line can carry", hint="remove the NUL character")
