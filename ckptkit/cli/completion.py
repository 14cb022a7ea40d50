"""Completion of runs, checkpoints and tags in bash, zsh and fish: names only, and never a word on stderr.

What a parameter is called in the help says what is completed: RUN, REF or TAG. Names that a shell would read as more
than a name (quotes, backslashes, control characters) are not offered.
"""

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ckptkit.storage import Storage

VARIABLE = "_CKPTKIT_COMPLETE"
_TAGS = ("--tag", "--keep-tag")
_REFS = ("--parent",)
_UNSAFE = frozenset("\\'\"")
_PLAIN = re.compile(r"[^A-Za-z0-9_@%+=:,./~-]")
_BREAKS = frozenset("@=:")  # those of COMP_WORDBREAKS that names of ours may hold


def attach(parameter: Any, command: str | None) -> None:
    """Let a parameter complete names, where it stands for any.

    Args:
        parameter: of a command.
        command: name of the command.
    """
    names = _named(parameter, command)
    if names is not None:
        parameter.shell_complete = partial(_complete, names)


def _named(parameter: Any, command: str | None) -> "Callable[[Storage, str], Iterable[str]] | None":
    if parameter.param_type_name == "option":
        named = {**dict.fromkeys(_TAGS, _tags), **dict.fromkeys(_REFS, _references)}
        return next((named[word] for word in parameter.opts if word in named), None)
    words = set(re.findall(r"[A-Z]+", str(parameter.metavar or parameter.name.upper())))
    if "REF" in words and command in _OTHERWISE:
        return _OTHERWISE[command]
    return _references if "REF" in words else _runs if "RUN" in words else _tags if "TAG" in words else None


def _complete(names: "Callable[[Storage, str], Iterable[str]]", context: Any, incomplete: str) -> list[Any]:
    from typer.core import CompletionItem  # type: ignore[attr-defined]  # typer has no public name for it

    from ckptkit.cli.session import Session
    from ckptkit.storage import open_storage

    given = [one.params.get("store") for one in (context, context.parent) if one is not None]
    url = Session().url(next((url for url in given if url), None))
    if "://" in url:  # a key must not wait for a service
        return []
    storage = open_storage(url)
    found = dict.fromkeys(name for name in names(storage, incomplete) if name.startswith(incomplete) and _safe(name))
    return [CompletionItem(name) for name in found]


def _safe(name: str) -> bool:
    return name.isprintable() and _UNSAFE.isdisjoint(name)


def _runs(storage: "Storage", incomplete: str) -> Iterable[str]:
    from ckptkit.store import names

    return names.runs(storage)


def _tags(storage: "Storage", incomplete: str) -> Iterable[str]:
    from ckptkit.store import names

    return names.tags(storage)


def _references(storage: "Storage", incomplete: str) -> Iterable[str]:
    from ckptkit.store import names

    return _with_steps(storage, incomplete, names.steps, ("latest", "best"))


def _removed(storage: "Storage", incomplete: str) -> Iterable[str]:
    from ckptkit.store import names

    return _with_steps(storage, incomplete, names.removed_steps, ())


def _references_and_tags(storage: "Storage", incomplete: str) -> Iterable[str]:
    yield from _references(storage, incomplete)
    yield from _tags(storage, incomplete)


# A tag follows as many references as there are: whether the next word is one, nobody can know.
_OTHERWISE = {"undelete": _removed, "tag": _references_and_tags}


def _with_steps(
    storage: "Storage", incomplete: str, steps: "Callable[[Storage, str], Iterable[int]]", words: Iterable[str]
) -> Iterator[str]:
    """Yield runs; once only one is left, its checkpoints as well."""
    from ckptkit.store import names

    run, at, _ = incomplete.partition("@")
    matching = [run] if at else [name for name in names.runs(storage) if name.startswith(run)]
    if not at:
        yield from matching
    if len(matching) == 1:
        found = list(steps(storage, matching[0]))
        yield from (f"{matching[0]}@{word}" for word in (*found, *(words if found else ())))


def answer(program: Callable[[], object]) -> int:
    """Answer a shell that asks what a command line may go on with, and return the exit code.

    Args:
        program: the program; it finds the question in the environment, and prints the answer.
    """
    shell = os.environ[VARIABLE].removeprefix("complete_")
    kept, quoted = _words_of_bash() if shell == "bash" else ("", False)
    answered, code = io.StringIO(), 1  # fish takes 1 for "no names here, try files"
    with contextlib.redirect_stdout(answered), contextlib.redirect_stderr(io.StringIO()):
        try:
            program()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except BaseException:  # whatever it is, a line that is being typed is no place for it
            answered.truncate(0)
    text = answered.getvalue()
    if shell == "bash":
        lines = [line.removeprefix(kept) for line in text.splitlines() if line]
        text = "".join(f"{line if quoted else _PLAIN.sub(_escape, line)}\n" for line in lines)
    sys.stdout.write(text)
    return code


def _escape(found: re.Match[str]) -> str:
    return f"\\{found[0]}"


def _words_of_bash() -> tuple[str, bool]:
    """Put the words together that bash takes apart at ``@``, ``=`` and ``:``, for the program to find them whole.

    Returns:
        What stands in the word that is being typed before what bash will replace, and whether it is in quotes.
    """
    words, current = os.environ.get("COMP_WORDS", "").split("\n"), int(os.environ.get("COMP_CWORD") or 0)
    whole: list[str] = []
    kept, glue = "", False
    for word in words[: current + 1]:
        breaks = bool(word) and _BREAKS.issuperset(word)
        if not (whole and (glue or breaks) and len(whole) > 1):
            whole.append("")
            kept = ""
        if breaks:
            kept = whole[-1] + ("" if word.startswith("@") else word)
        whole[-1] += word
        glue = breaks
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = "\n".join(whole), str(len(whole) - 1)
    return kept, whole[-1][:1] in ("'", '"')
